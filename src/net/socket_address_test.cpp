// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/socket_address.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "base/memory_file.h"
#include "net/service_manager.h"

namespace uvdo {
namespace {

TEST(SocketAddress, UnderstandsItsForms) {
  const auto text_of = [](std::string_view text) {
    auto address = SocketAddress::parse(text);
    return address ? address->text() : address.error().message();
  };
  EXPECT_EQ(text_of("unix:/run/a:b"), "unix:/run/a:b");
  EXPECT_EQ(text_of("tcp:host:1234"), "tcp:host:1234");
  EXPECT_EQ(text_of("tcp:host"), "tcp:host:10809");
  EXPECT_EQ(text_of("tcp::99"), "tcp::99");
  EXPECT_EQ(text_of("tcp:[::1]:5"), "tcp:[::1]:5");
  EXPECT_EQ(text_of("tcp:[::1]"), "tcp:[::1]:10809");
}

TEST(SocketAddress, OfAPeerIsWhoItIs) {
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const FileDescriptor ours(pair[0]);
  const FileDescriptor theirs(pair[1]);
  EXPECT_EQ(peer_text(ours.get()), fmt::format("process {}", getpid()));

  const FileDescriptor listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* where = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(listener.get(), where, size), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(getsockname(listener.get(), where, &size), 0);
  const FileDescriptor client(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(connect(client.get(), where, size), 0);
  EXPECT_EQ(peer_text(client.get()), fmt::format("tcp:127.0.0.1:{}", ntohs(address.sin_port)));
  EXPECT_EQ(peer_text(listener.get()), "gone") << "it has no peer";
}

TEST(SocketAddress, RefusesEverythingElseWithASentence) {
  for (const std::string_view text :
       {"", "unix:", "/run/x", "tcp:", "tcp:h:", "tcp:h:x", "tcp:h:65536", "tcp:h:-1", "tcp:::1",
        "tcp:[::1", "tcp:[::1]5", "udp:h:1", "tcp:h:1x"}) {
    auto address = SocketAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code(), Errc::invalid_argument);
    EXPECT_NE(address.error().message().find("write unix:PATH or tcp:HOST:PORT"), std::string::npos)
        << address.error().message();
  }
  EXPECT_FALSE(SocketAddress::parse("unix:/" + std::string(200, 'x')));
}

TEST(SocketAddress, AStarIsEveryAddress) {
  auto address = SocketAddress::parse("tcp:*:99");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "");
  EXPECT_EQ(address->port, 99);
}

TEST(SocketAccess, TakesModesThatLetTheOwnerIn) {
  auto access = SocketAccess::parse("0660", "");
  ASSERT_TRUE(access);
  EXPECT_EQ(access->mode, 0660U);
  EXPECT_FALSE(access->group);
  for (const std::string_view mode : {"", "0060", "0400", "1600", "0680", "rw", "0600x"}) {
    EXPECT_FALSE(SocketAccess::parse(mode, "")) << mode;
  }
  EXPECT_FALSE(SocketAccess::parse("0660", "no such group"));
  auto numbered = SocketAccess::parse("0660", "12345");
  ASSERT_TRUE(numbered);
  EXPECT_EQ(numbered->group, gid_t{12345});
}

TEST(ListeningSocket, BelongsToWhomItIsGiven) {
  SocketAddress address;
  address.path = ::testing::TempDir() + "uvdo-owner-" + std::to_string(getpid());
  SocketAccess access;
  access.mode = 0666;
  access.owner = geteuid() == 0 ? 12345 : geteuid();
  access.group = geteuid() == 0 ? 12346 : getegid();
  const auto made = ListeningSocket::open(address, access);
  ASSERT_TRUE(made) << made.error().message();
  struct stat status {};
  ASSERT_EQ(stat(address.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0666U);
  EXPECT_EQ(status.st_uid, *access.owner);
  EXPECT_EQ(status.st_gid, *access.group);
}

TEST(ListeningSocket, HasItsModeAndGroupWhateverTheMaskIs) {
  SocketAddress address;
  address.path = ::testing::TempDir() + "uvdo-mode-" + std::to_string(getpid());
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    for (const bool with_group : {false, true}) {
      SocketAccess access;
      access.mode = 0660;
      if (with_group) access.group = getegid();
      const mode_t before = umask(mask);
      const auto made = ListeningSocket::open(address, access);
      EXPECT_EQ(umask(before), mask) << "it is as it was";
      ASSERT_TRUE(made) << made.error().message();
      struct stat status {};
      ASSERT_EQ(stat(address.path.c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 07777, 0660U);
      EXPECT_EQ(status.st_gid, getegid());
      EXPECT_TRUE(made->front().is_unix());
      EXPECT_FALSE(made->front().is_remote());
    }
  }
}

TEST(ListeningSocket, KnowsWhetherOtherMachinesReachIt) {
  for (const auto& [text, remote] : {std::pair("tcp:127.0.0.1:0", false), {"tcp:*:0", true}}) {
    const auto made = ListeningSocket::open(*SocketAddress::parse(text));
    ASSERT_TRUE(made) << made.error().message();
    for (const ListeningSocket& socket : *made) {
      EXPECT_EQ(socket.is_remote(), remote) << socket.name();
      EXPECT_FALSE(socket.is_unix());
    }
  }
}

TEST(ListeningSocket, TakesOnlyListeningStreamSockets) {
  EXPECT_FALSE(ListeningSocket::adopt(-1));
  const int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_FALSE(ListeningSocket::adopt(datagrams));
  EXPECT_FALSE(ListeningSocket::adopt(connected));
  close(datagrams);
  close(connected);
}

TEST(ServiceManager, SendsItsMessagesToPathsAndAbstractSockets) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "@uvdo-test-" + std::to_string(getpid());
  std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
  ASSERT_EQ(0, bind(fd, reinterpret_cast<sockaddr*>(&address),
                    static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())));
  const ServiceManager manager(name);
  manager.notify_ready("serving\ntwo lines");
  manager.notify_stopping();
  std::array<char, 100> buffer{};
  ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(count)),
            "READY=1\nSTATUS=serving two lines");
  count = recv(fd, buffer.data(), buffer.size(), 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(count)), "STOPPING=1");
  close(fd);
  ServiceManager("").notify_ready("nobody listens");
  ServiceManager("/nonexistent/socket").notify_ready("nobody listens");
}

TEST(ServiceManager, KnowsHowOftenItIsToldThatAllGoesOn) {
  ASSERT_EQ(setenv("WATCHDOG_USEC", "180000000", 1), 0);
  ASSERT_EQ(unsetenv("WATCHDOG_PID"), 0);
  EXPECT_EQ(ServiceManager::watchdog_period(), std::chrono::minutes(3));
  ASSERT_EQ(setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1), 0);
  EXPECT_EQ(ServiceManager::watchdog_period(), std::chrono::minutes(3));
  ASSERT_EQ(setenv("WATCHDOG_PID", "1", 1), 0);
  EXPECT_EQ(ServiceManager::watchdog_period(), std::nullopt) << "it is meant for another process";
  ASSERT_EQ(unsetenv("WATCHDOG_PID"), 0);
  ASSERT_EQ(setenv("WATCHDOG_USEC", "soon", 1), 0);
  EXPECT_EQ(ServiceManager::watchdog_period(), std::nullopt);
  ASSERT_EQ(unsetenv("WATCHDOG_USEC"), 0);
  EXPECT_EQ(ServiceManager::watchdog_period(), std::nullopt);
}

TEST(ServiceManager, StoresDescriptorsAndForgetsThem) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "@uvdo-test-store-" + std::to_string(getpid());
  std::memcpy(address.sun_path, name.data(), name.size());
  address.sun_path[0] = '\0';
  const FileDescriptor manager(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(manager.get(), reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
            0);
  const ServiceManager service(name);
  EXPECT_TRUE(service.is_there());
  auto memory = MemoryFile::create("test", 4096);
  ASSERT_TRUE(memory.ok());
  memory->bytes()[0] = std::byte{7};
  ASSERT_TRUE(service.store(memory->descriptor().get(), "5").ok());

  std::array<char, 100> text{};
  iovec slice{text.data(), text.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr letter{};
  letter.msg_iov = &slice;
  letter.msg_iovlen = 1;
  letter.msg_control = control.data();
  letter.msg_controllen = control.size();
  ASSERT_GT(recvmsg(manager.get(), &letter, MSG_CMSG_CLOEXEC), 0);
  EXPECT_STREQ(text.data(), "FDSTORE=1\nFDNAME=uvdo-kept-5");
  ASSERT_NE(CMSG_FIRSTHDR(&letter), nullptr);
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&letter)), sizeof fd);
  auto stored = MemoryFile::adopt(FileDescriptor(fd));
  ASSERT_TRUE(stored.ok());
  EXPECT_EQ(stored->bytes()[0], std::byte{7});

  service.forget("5");
  text = {};
  EXPECT_GT(recv(manager.get(), text.data(), text.size(), 0), 0);
  EXPECT_STREQ(text.data(), "FDSTOREREMOVE=1\nFDNAME=uvdo-kept-5");
  EXPECT_FALSE(ServiceManager("/nonexistent/socket").store(memory->descriptor().get(), "x").ok());
  EXPECT_FALSE(ServiceManager("").is_there());
}

TEST(ServiceManager, WhatWasStoredIsNoSocket) {
  const FileDescriptor before(dup(3));
  auto memory = MemoryFile::create("test", 4096);
  ASSERT_TRUE(memory.ok());
  const bool is_third = memory->descriptor().get() == 3;
  ASSERT_TRUE(is_third || dup2(memory->descriptor().get(), 3) == 3);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_FDNAMES", "uvdo-kept-99", 1);
  {
    auto stored = ServiceManager::take_stored();
    ASSERT_EQ(stored.size(), 1U);
    EXPECT_EQ(stored[0].name, "99");
    const auto sockets = ServiceManager::take_sockets();
    ASSERT_TRUE(sockets.ok());
    EXPECT_TRUE(sockets->empty());
    if (is_third) static_cast<void>(stored[0].fd.release());
  }
  EXPECT_TRUE(ServiceManager::take_stored().empty()) << "it is handed out once";
  if (before && !is_third) dup2(before.get(), 3);
}

TEST(ServiceManager, SocketsForAnotherProcessAreLeftAlone) {
  setenv("LISTEN_PID", "1", 1);
  setenv("LISTEN_FDS", "3", 1);
  auto sockets = ServiceManager::take_sockets();
  ASSERT_TRUE(sockets);
  EXPECT_TRUE(sockets->empty());
  EXPECT_STREQ(getenv("LISTEN_FDS"), "3");
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "100000", 1);
  EXPECT_FALSE(ServiceManager::take_sockets());
  EXPECT_EQ(getenv("LISTEN_FDS"), nullptr);
}

}  // namespace
}  // namespace uvdo
