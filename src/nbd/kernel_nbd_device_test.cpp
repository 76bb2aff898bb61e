// SPDX-License-Identifier: GPL-2.0-or-later
// The front end with a kernel that the test plays: it makes, takes over, loses and ends devices,
// and the test is the client behind their sockets.
#include "nbd/kernel_nbd_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/blocking_call.h"
#include "block/testing/memory_block_service.h"
#include "nbd/testing/fake_kernel.h"
#include "nbd/testing/nbd_script.h"

namespace uvdo {
namespace {

using nbd::Command;
using testing::FakeKernel;
using ::testing::HasSubstr;
using testing::NbdScript;

constexpr std::uint64_t kVolume = 4U << 20U;

/// A volume, the kernel, and what a server needs.
struct World {
  explicit World(UringLoop& at)
      : loop(at), service(at, {.size = kVolume, .room = 4 * kVolume}), budget(at, 64) {}

  [[nodiscard]] std::unique_ptr<KernelNbdDevice> server(
      const std::function<void(KernelNbdDevice::Settings&)>& change = {},
      BlockService* other = nullptr) {
    KernelNbdDevice::Settings settings;
    settings.identifier = "volume";
    settings.take_over_limit = std::chrono::milliseconds(100);
    settings.drain_limit = std::chrono::milliseconds(100);
    settings.kernel = {[this] { return kernel.open(); }, kernel.folder(), true};
    settings.resend_interval = std::chrono::milliseconds(20);
    settings.log = [this](const std::string& line) { lines.push_back(line); };
    if (change) change(settings);
    return std::make_unique<KernelNbdDevice>(loop, other != nullptr ? *other : service, budget,
                                             std::move(settings));
  }
  /// Sends `script` over the socket of a device, and receives `size` bytes, in a thread.
  Task<Result<std::vector<std::byte>>> exchange(const NbdScript& script, std::size_t size,
                                                std::uint32_t index = 0) {
    const int fd = kernel.look(index, [](auto& device) { return device.socket.get(); });
    const auto body = [&, fd] {
      std::vector<std::byte> answer(size);
      EXPECT_EQ(send(fd, script.bytes().data(), script.bytes().size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(script.bytes().size()));
      if (size > 0) {
        EXPECT_EQ(recv(fd, answer.data(), size, MSG_WAITALL), static_cast<ssize_t>(size));
      }
      return Result<std::vector<std::byte>>(std::move(answer));
    };
    Result<std::vector<std::byte>> answer = co_await call_blocking(loop, Descriptors::shared, body);
    co_return answer;
  }
  Task<void> wait_until(const std::function<bool()>& condition) {
    Alarm pause(loop);
    for (int i = 0; i < 2000 && !condition(); ++i) {
      co_await pause.sleep(std::chrono::milliseconds(2));
    }
    EXPECT_TRUE(condition());
  }

  UringLoop& loop;
  testing::MemoryBlockService service;
  RequestBudget budget;
  FakeKernel kernel;
  std::vector<std::string> lines;
};

void in_world(Task<void> (*test)(World&)) {
  auto loop = UringLoop::create();
  ASSERT_TRUE(loop.ok()) << loop.error().message();
  World world(**loop);
  (*loop)->run(test(world));
  EXPECT_TRUE(world.budget.is_idle());
}

TEST(KernelNbdDevice, AVolumeIsReadAndWrittenThroughIt) {
  in_world([](World& world) -> Task<void> {
    const auto device = world.server();
    const auto started = co_await device->start();
    EXPECT_TRUE(started.ok()) << (started ? "" : started.error().message());
    EXPECT_FALSE(device->has_taken_over());
    EXPECT_THAT(device->addresses().front().name, HasSubstr("/dev/nbd0"));
    EXPECT_EQ(device->clients(), 1U);
    EXPECT_EQ(world.kernel.told(0, "queue/io_timeout"), "20");
    world.kernel.look(0, [](const FakeKernel::Device& made) {
      EXPECT_EQ(made.size, kVolume);
      EXPECT_EQ(made.flags, nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua | nbd::kSendTrim |
                                nbd::kSendWriteZeroes);
      EXPECT_EQ(made.dead_limit, 600U);
    });
    NbdScript script;
    script.request(Command::write, 8192, 4096, nbd::kFua, 1).raw(std::string(4096, 'x'));
    const auto written = co_await world.exchange(script, nbd::kSimpleReplySize);
    EXPECT_EQ(load_be32(written->data() + 4), 0U);
    NbdScript read;
    read.request(Command::read, 8192, 4096, 0, 2);
    const auto answer = co_await world.exchange(read, nbd::kSimpleReplySize + 4096);
    EXPECT_EQ(load_be32(answer->data()), nbd::kSimpleReplyMagic);
    EXPECT_EQ(load_be64(answer->data() + 8), 2U);
    EXPECT_EQ(answer->back(), std::byte{'x'});
    EXPECT_EQ(world.service.counts.fua_writes, 1U);
    co_await device->shutdown();
    EXPECT_FALSE(world.kernel.has(0));
    EXPECT_TRUE(device->addresses().empty());
    EXPECT_THAT(world.lines, ::testing::IsEmpty());
  });
}

TEST(KernelNbdDevice, ARequestThatIsUnderWayIsFinishedBeforeTheEnd) {
  in_world([](World& world) -> Task<void> {
    const auto device =
        world.server([](auto& settings) { settings.drain_limit = std::chrono::seconds(100); });
    EXPECT_TRUE((co_await device->start()).ok());
    world.service.hold();
    NbdScript script;
    script.request(Command::flush, 0, 0, 0, 1);
    const auto sent = co_await world.exchange(script, 0);
    co_await world.wait_until([&] { return world.service.counts.flushes == 1; });
    const int fd = world.kernel.look(0, [](auto& made) { return dup(made.socket.get()); });
    TaskGroup ending(world.loop);
    ending.start(device->shutdown());
    Alarm pause(world.loop);
    co_await pause.sleep(std::chrono::milliseconds(20));
    EXPECT_TRUE(world.kernel.has(0));
    world.service.let_go();
    co_await ending.wait();
    EXPECT_FALSE(world.kernel.has(0));
    std::array<std::byte, nbd::kSimpleReplySize> answer{};
    EXPECT_EQ(recv(fd, answer.data(), answer.size(), MSG_DONTWAIT),
              static_cast<ssize_t>(answer.size()));
    EXPECT_EQ(load_be32(answer.data() + 4), 0U);
    close(fd);
  });
}

TEST(KernelNbdDevice, TheNextServerTakesTheDeviceOver) {
  in_world([](World& world) -> Task<void> {
    auto device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    EXPECT_TRUE((co_await device->leave()).ok());
    EXPECT_TRUE(world.kernel.has(0));
    device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    EXPECT_TRUE(device->has_taken_over());
    EXPECT_EQ(device->index(), 0U);
    EXPECT_FALSE(world.kernel.has(1));
    NbdScript script;
    script.request(Command::flush, 0, 0, 0, 1);
    EXPECT_TRUE((co_await world.exchange(script, nbd::kSimpleReplySize)).ok());
    EXPECT_EQ(world.service.counts.flushes, 1U);
    co_await device->shutdown();
    EXPECT_FALSE(world.kernel.has(0));
  });
}

TEST(KernelNbdDevice, WhatAnotherServerServesIsNotTakenFromIt) {
  in_world([](World& world) -> Task<void> {
    const auto first = world.server();
    EXPECT_TRUE((co_await first->start()).ok());
    const auto second = world.server();
    const auto refused = co_await second->start();
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Errc::busy);
    EXPECT_THAT(refused.error().message(), HasSubstr("served by another process"));
    EXPECT_TRUE(second->addresses().empty());
    NbdScript script;
    script.request(Command::flush, 0, 0, 0, 1);
    EXPECT_TRUE((co_await world.exchange(script, nbd::kSimpleReplySize)).ok());
    co_await first->shutdown();
  });
}

TEST(KernelNbdDevice, AnIndexIsTakenByNameOrRefused) {
  in_world([](World& world) -> Task<void> {
    const auto first = world.server([](auto& settings) { settings.index = 3; });
    EXPECT_TRUE((co_await first->start()).ok());
    EXPECT_EQ(first->index(), 3U);
    const auto other = world.server([](auto& settings) {
      settings.index = 3;
      settings.identifier = "another volume";
    });
    const auto refused = co_await other->start();
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Errc::busy);
    // Its own device has another name already.
    const auto elsewhere = world.server([](auto& settings) { settings.index = 4; });
    const auto twice = co_await elsewhere->start();
    EXPECT_FALSE(twice.ok());
    EXPECT_THAT(twice.error().message(), HasSubstr("nbd3 already"));
    co_await first->shutdown();
  });
}

TEST(KernelNbdDevice, ItGrowsWithTheVolume) {
  in_world([](World& world) -> Task<void> {
    auto device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    const auto size = [&] { return world.kernel.told(0, "size"); };
    world.service.grow(2 * kVolume);
    device->size_changed();
    device->size_changed();
    co_await world.wait_until([&] { return size() == std::to_string(2 * kVolume / 512); });
    // Also where it has grown while nobody served it.
    EXPECT_TRUE((co_await device->leave()).ok());
    world.service.grow(3 * kVolume);
    device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    co_await world.wait_until([&] { return size() == std::to_string(3 * kVolume / 512); });
    EXPECT_TRUE((co_await device->leave()).ok());
  });
}

TEST(KernelNbdDevice, AServerOfSomethingSmallerTakesNothingOver) {
  in_world([](World& world) -> Task<void> {
    world.service.grow(2 * kVolume);
    auto device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    EXPECT_TRUE((co_await device->leave()).ok());
    testing::MemoryBlockService smaller(world.loop, {.size = kVolume});
    device = world.server({}, &smaller);
    const auto refused = co_await device->start();
    EXPECT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().message(), HasSubstr("detach it first"));
    EXPECT_TRUE(world.kernel.has(0));
  });
}

TEST(KernelNbdDevice, ItKeepsItsSizeWhileRequestsAreStuck) {
  in_world([](World& world) -> Task<void> {
    const auto device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    world.service.hold();
    NbdScript script;
    script.request(Command::flush, 0, 0, 0, 1);
    EXPECT_TRUE((co_await world.exchange(script, 0)).ok());
    co_await world.wait_until([&] { return world.service.counts.flushes == 1; });
    world.service.grow(2 * kVolume);
    device->size_changed();
    Alarm pause(world.loop);
    co_await pause.sleep(std::chrono::milliseconds(150));
    EXPECT_EQ(world.kernel.told(0, "size"), std::to_string(kVolume / 512));
    world.service.let_go();
    co_await world.wait_until(
        [&] { return world.kernel.told(0, "size") == std::to_string(2 * kVolume / 512); });
    co_await device->shutdown();
  });
}

TEST(KernelNbdDevice, ALostConnectionIsMadeAgain) {
  in_world([](World& world) -> Task<void> {
    const auto device = world.server();
    EXPECT_TRUE((co_await device->start()).ok());
    NbdScript nonsense;
    nonsense.raw(std::string(28, 'x'));
    EXPECT_TRUE((co_await world.exchange(nonsense, 0)).ok());
    co_await world.wait_until(
        [&] { return world.kernel.look(0, [](auto& made) { return made.sockets == 2; }); });
    co_await world.wait_until([&] { return device->clients() == 1; });
    EXPECT_THAT(world.lines, ::testing::Contains(HasSubstr("not an NBD request")));
    NbdScript script;
    script.request(Command::flush, 0, 0, 0, 1);
    EXPECT_TRUE((co_await world.exchange(script, nbd::kSimpleReplySize)).ok());
    co_await device->shutdown();
    EXPECT_FALSE(world.kernel.has(0));
  });
}

TEST(KernelNbdDevice, WhatSomebodyElseDisconnectsIsLetGo) {
  in_world([](World& world) -> Task<void> {
    bool is_told = false;
    const auto device =
        world.server([&](auto& settings) { settings.on_disconnected = [&] { is_told = true; }; });
    EXPECT_TRUE((co_await device->start()).ok());
    const auto body = [&]() -> Result<void> {
      auto client = world.kernel.open();
      if (!client) return std::move(client).error();
      return client->disconnect(0);
    };
    EXPECT_TRUE((co_await call_blocking(world.loop, Descriptors::shared, body)).ok());
    co_await world.wait_until([&] { return device->clients() == 0; });
    EXPECT_TRUE(is_told);
    EXPECT_THAT(world.lines, ::testing::Contains(HasSubstr("disconnected by somebody else")));
    device->size_changed();
    co_await device->shutdown();
    EXPECT_FALSE(world.kernel.has(0));
  });
}

TEST(KernelNbdDevice, AReadOnlyVolumeMakesAReadOnlyDevice) {
  in_world([](World& world) -> Task<void> {
    world.service.set_read_only(true);
    const auto device = world.server([](auto& settings) { settings.block_size = 512; });
    EXPECT_TRUE((co_await device->start()).ok());
    world.kernel.look(0, [](const FakeKernel::Device& made) {
      EXPECT_EQ(made.flags, nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua | nbd::kReadOnly);
      EXPECT_EQ(made.block, 512U);
    });
    co_await device->shutdown();
  });
}

TEST(KernelNbdDevice, WhatNoDeviceCanBeIsRefused) {
  in_world([](World& world) -> Task<void> {
    testing::MemoryBlockService uneven(world.loop, {.size = kVolume - 512});
    const auto odd_one = world.server({}, &uneven);
    const auto odd = co_await odd_one->start();
    EXPECT_THAT(odd.error().message(), HasSubstr("no whole blocks of 4096 bytes"));
    const auto blocks =
        co_await world.server([](auto& settings) { settings.block_size = 1024; })->start();
    EXPECT_THAT(blocks.error().message(), HasSubstr("not of 1024"));
    const auto without_name = world.server([](auto& settings) { settings.identifier = ""; });
    const auto nameless = co_await without_name->start();
    EXPECT_EQ(nameless.error().code(), Errc::invalid_argument);
    world.kernel.unload_driver();
    const auto without_driver = world.server();
    const auto nothing = co_await without_driver->start();
    EXPECT_EQ(nothing.error().code(), Errc::not_found);
  });
}

}  // namespace
}  // namespace uvdo
