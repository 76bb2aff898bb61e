// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/kernel_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nbd/testing/fake_kernel.h"

namespace uvdo {
namespace {

using testing::FakeKernel;

/// A device to be made, and the server's end of its socket.
struct Wanted {
  Wanted() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    server = FileDescriptor(ends[0]);
    client = FileDescriptor(ends[1]);
    setup.size = 1U << 30U;
    setup.flags = 0x6d;
    setup.dead_limit = std::chrono::seconds(600);
    setup.identifier = "volume";
    setup.socket = ends[1];
  }
  FileDescriptor server;
  FileDescriptor client;
  KernelNbdSetup setup;
};

TEST(KernelNbdClient, ADeviceIsMadeAsItIsAskedFor) {
  FakeKernel kernel;
  auto client = kernel.open();
  ASSERT_TRUE(client.ok()) << client.error().message();
  Wanted wanted;
  const auto index = client->connect(wanted.setup);
  ASSERT_TRUE(index.ok()) << index.error().message();
  EXPECT_EQ(*index, 0U);
  kernel.look(0, [](const FakeKernel::Device& device) {
    EXPECT_EQ(device.identifier, "volume");
    EXPECT_EQ(device.size, 1U << 30U);
    EXPECT_EQ(device.block, 4096U);
    EXPECT_EQ(device.flags, 0x6dU);
    EXPECT_EQ(device.dead_limit, 600U);
  });
  wanted.setup.index = 5;
  EXPECT_EQ(*client->connect(wanted.setup), 5U);
  const auto again = client->connect(wanted.setup);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), Errc::busy);
  EXPECT_THAT(again.error().message(), ::testing::HasSubstr("/dev/nbd5 is in use"));
  const auto devices = client->status();
  ASSERT_TRUE(devices.ok());
  ASSERT_EQ(devices->size(), 2U);
  EXPECT_EQ(devices->back().index, 5U);
  EXPECT_TRUE(devices->back().is_connected);
}

TEST(KernelNbdClient, OnlyItsOwnerChangesADevice) {
  FakeKernel kernel;
  auto client = kernel.open();
  ASSERT_TRUE(client.ok()) << client.error().message();
  const Wanted wanted;
  ASSERT_TRUE(client->connect(wanted.setup).ok());
  EXPECT_TRUE(client->resize(0, "volume", 2U << 30U).ok());
  EXPECT_FALSE(client->resize(0, "another", 3U << 30U).ok());
  EXPECT_FALSE(client->resize(1, "volume", 3U << 30U).ok());
  kernel.look(0, [](const FakeKernel::Device& device) { EXPECT_EQ(device.size, 2U << 30U); });
  EXPECT_TRUE(client->disconnect(0).ok());
  EXPECT_FALSE(kernel.has(0));
  EXPECT_TRUE(client->disconnect(0).ok());
}

TEST(KernelNbdClient, WithoutTheDriverItSaysWhatToDo) {
  FakeKernel kernel;
  kernel.unload_driver();
  const auto client = kernel.open();
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.error().code(), Errc::not_found);
  EXPECT_THAT(client.error().message(), ::testing::HasSubstr("modprobe nbd"));
}

TEST(KernelNbdClient, AnAnswerThatIsNoneIsAnError) {
  for (const std::string_view answer : {"", "x", "a datagram that is no message at all"}) {
    int ends[2] = {-1, -1};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    FileDescriptor kernel(ends[1]);
    EXPECT_EQ(send(kernel.get(), answer.data(), answer.size(), 0),
              static_cast<ssize_t>(answer.size()));
    const auto client = KernelNbdClient::over(FileDescriptor(ends[0]));
    ASSERT_FALSE(client.ok());
    EXPECT_EQ(client.error().code(), Errc::protocol);
  }
}

TEST(KernelNbdName, OnlyNamesOfDevicesAreTaken) {
  EXPECT_EQ(*parse_kernel_nbd_name("/dev/nbd0"), 0U);
  EXPECT_EQ(*parse_kernel_nbd_name("nbd15"), 15U);
  for (const std::string_view name :
       {"", "nbd", "/dev/nbd", "nbd1p1", "nbd-1", "nbd01", "nbd1048576", "nbd4294967296", "sda",
        "/dev/disk/nbd1", "/tmp/nbd1"}) {
    EXPECT_FALSE(parse_kernel_nbd_name(name).ok()) << name;
  }
}

}  // namespace
}  // namespace uvdo
