// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_device.h"

#include <array>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "block/testing/memory_block_service.h"
#include "ublk/testing/fake_ublk_driver.h"

namespace uvdo {
namespace {

using testing::FakeUblkDriver;
using testing::MemoryBlockService;

constexpr std::uint64_t kSize = std::uint64_t{8} << 20U;
constexpr std::uint64_t kIdentity = 7;

class UblkDeviceTest : public ::testing::Test {
 public:
  using Request = FakeUblkDriver::Request;

  UblkDevice::Settings settings() {
    UblkDevice::Settings settings;
    settings.identity = kIdentity;
    settings.depth = 4;
    settings.drain_limit = std::chrono::milliseconds(100);
    settings.log = [this](const std::string& line) { lines_.push_back(line); };
    settings.on_lost = [this] { ++lost_; };
    return settings;
  }
  UblkDevice::Settings takeover(bool nothing_is_lost = true) {
    UblkDevice::Settings wanted = settings();
    wanted.takeover = UblkTakeover{0, nothing_is_lost, std::chrono::seconds(1)};
    return wanted;
  }
  std::unique_ptr<UblkDevice> make(UblkDevice::Settings wanted) {
    return std::make_unique<UblkDevice>(executor_, driver_, service_, budget_, std::move(wanted));
  }
  std::unique_ptr<UblkDevice> make() { return make(settings()); }

  /// Runs a test that is a coroutine with this fixture as its argument.
  template <class Test>
  void run(Test test) {
    const auto outcome = executor_.run(test(*this));
    EXPECT_TRUE(outcome.finished) << outcome.why;
    EXPECT_TRUE(budget_.is_idle());
  }
  Request request(std::uint32_t operation, std::uint64_t offset, std::uint64_t length) {
    const auto sectors = static_cast<std::uint32_t>(length / 512);
    return Request(executor_, {operation, sectors, offset / 512, 0});
  }
  static void fill(Request& request) {
    for (std::size_t i = 0; i < request.data.size(); ++i) {
      request.data[i] = static_cast<std::byte>(i * 7 + i / 512);
    }
  }
  /// Sends it and waits for the answer.
  Task<std::int32_t> answer(Request& request) {
    driver_.send(0, request);
    co_await request.answered.wait();
    co_return request.result;
  }
  Task<std::int32_t> ask(std::uint32_t operation, std::uint64_t offset, std::uint64_t length) {
    Request asked = request(operation, offset, length);
    const std::int32_t result = co_await answer(asked);
    co_return result;
  }
  bool has_line(std::string_view words) const {
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const std::string& line) { return line.find(words) != line.npos; });
  }
  /// What was sent has come as far as it can.
  Task<void> settle() {
    Alarm pause(executor_);
    co_await pause.sleep(std::chrono::milliseconds(10));
  }
  Task<void> start(UblkDevice& device) {
    const Result<void> started = co_await device.start();
    EXPECT_TRUE(started.ok()) << (started ? "" : started.error().message());
  }

  SimExecutor executor_{{.seed = 3}};
  FakeUblkDriver driver_{executor_};
  MemoryBlockService service_{executor_,
                              {.size = kSize, .buffer_bytes = 1 << 20, .room = 2 * kSize}};
  RequestBudget budget_{executor_, 64};
  std::vector<std::string> lines_;
  int lost_ = 0;
};

TEST_F(UblkDeviceTest, IsMadeServedAndRemoved) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    EXPECT_TRUE(device->addresses().empty());
    co_await test.start(*device);
    EXPECT_EQ(device->kind(), "ublk");
    EXPECT_EQ(device->addresses().front().name, "/dev/ublkb0");
    EXPECT_FALSE(device->addresses().front().is_open_to_strangers);
    EXPECT_EQ(device->clients(), 1U);
    const auto& made = *test.driver_.find(0);
    EXPECT_EQ(made.info.server_data, kIdentity);
    EXPECT_EQ(
        made.info.flags & (ublk::kUserRecovery | ublk::kUserRecoveryReissue | ublk::kUserCopy),
        ublk::kUserRecovery | ublk::kUserRecoveryReissue | ublk::kUserCopy);
    EXPECT_EQ(made.parameters.sectors, kSize / 512);
    EXPECT_EQ(made.parameters.attributes, ublk::kVolatileCache | ublk::kFuaWrites);
    co_await test.settle();
    EXPECT_EQ(test.driver_.request_timeout, std::chrono::seconds(2));
    co_await device->shutdown();
    EXPECT_EQ(test.driver_.count(), 0U);
    EXPECT_EQ(test.driver_.write_outs, 1);
    EXPECT_EQ(device->clients(), 0U);
    EXPECT_TRUE(test.lines_.empty());
  });
}

TEST_F(UblkDeviceTest, DataAreWrittenAndReadInPieces) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await test.start(*device);
    constexpr std::uint64_t kOffset = 4096 + 512;
    constexpr std::uint64_t kLength = 1U << 20U;
    auto write = test.request(ublk::kWrite, kOffset, kLength);
    test.fill(write);
    EXPECT_EQ(co_await test.answer(write), std::int32_t{kLength});
    EXPECT_EQ(test.service_.counts.writes, 9U);
    EXPECT_EQ(test.service_.counts.fua_writes, 0U);
    auto read = test.request(ublk::kRead, kOffset, kLength);
    EXPECT_EQ(co_await test.answer(read), std::int32_t{kLength});
    EXPECT_EQ(read.data, write.data);
    EXPECT_EQ(std::memcmp(test.service_.bytes().data() + kOffset, write.data.data(), kLength), 0);
    co_await device->shutdown();
  });
}

TEST_F(UblkDeviceTest, TheDriverCopiesWhereTheServerMayNot) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto settings = test.settings();
    settings.is_unprivileged = true;
    auto device = test.make(std::move(settings));
    co_await test.start(*device);
    EXPECT_EQ(test.driver_.find(0)->info.flags, ublk::kUnprivilegedDevice | ublk::kIoctlEncode);
    EXPECT_EQ(test.driver_.find(0)->info.max_io_bytes, 128U << 10U);
    auto write = test.request(ublk::kWrite, 512, 128U << 10U);
    test.fill(write);
    EXPECT_EQ(co_await test.answer(write), 128 << 10);
    auto read = test.request(ublk::kRead, 512, 128U << 10U);
    EXPECT_EQ(co_await test.answer(read), 128 << 10);
    EXPECT_EQ(read.data, write.data);
    EXPECT_FALSE(device->can_leave());
    // A user's server that takes longer is killed.
    EXPECT_EQ(test.driver_.request_timeout.count(), 0);
    EXPECT_FALSE((co_await device->leave()).ok());
    co_await device->shutdown();
    EXPECT_EQ(test.driver_.count(), 0U);
  });
}

TEST_F(UblkDeviceTest, EachKindOfRequestReachesTheVolume) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await test.start(*device);
    auto& counts = test.service_.counts;
    EXPECT_EQ(co_await test.ask(ublk::kFlush, 0, 0), 0);
    EXPECT_EQ(counts.flushes, 1U);
    EXPECT_EQ(co_await test.ask(ublk::kWrite | ublk::kFua, 0, 4096), 4096);
    EXPECT_EQ(counts.fua_writes, 1U);
    EXPECT_EQ(co_await test.ask(ublk::kDiscard, 0, 4096), 0);
    EXPECT_EQ(counts.discards, 1U);
    auto kind_at = [&](std::uint64_t offset) -> Task<ExtentKind> {
      const auto extents = co_await test.service_.extents(offset, 4096, 1);
      co_return extents->front().kind;
    };
    EXPECT_EQ(co_await test.ask(ublk::kWriteZeroes | ublk::kNoUnmap, 4096, 4096), 0);
    EXPECT_EQ(co_await test.ask(ublk::kWriteZeroes, 8192, 4096), 0);
    EXPECT_EQ(co_await kind_at(4096), ExtentKind::zero);
    EXPECT_EQ(co_await kind_at(8192), ExtentKind::hole);
    co_await device->shutdown();
  });
}

TEST_F(UblkDeviceTest, ADeviceThatWritesThroughMakesEverythingStable) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto settings = test.settings();
    settings.writes_through = true;
    auto device = test.make(std::move(settings));
    co_await test.start(*device);
    EXPECT_EQ(test.driver_.find(0)->parameters.attributes, 0U);
    EXPECT_EQ(co_await test.ask(ublk::kWrite, 0, 4096), 4096);
    EXPECT_EQ(co_await test.ask(ublk::kDiscard, 0, 4096), 0);
    EXPECT_EQ(co_await test.ask(ublk::kWriteZeroes, 0, 4096), 0);
    EXPECT_EQ(test.service_.counts.fua_writes, 3U);
    co_await device->shutdown();
  });
}

TEST_F(UblkDeviceTest, FailuresOfTheVolumeAreErrorsOfTheDevice) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await test.start(*device);
    test.service_.fail_at(300 << 10, Errc::io);
    EXPECT_EQ(co_await test.ask(ublk::kRead, 0, 1U << 20U), -EIO);
    EXPECT_EQ(co_await test.ask(ublk::kRead, 0, 128U << 10U), 128 << 10);
    test.service_.fail_at(300 << 10, Errc::no_space);
    EXPECT_EQ(co_await test.ask(ublk::kWrite, 0, 1U << 20U), -ENOSPC);
    test.service_.buffers().set_refusing(true);
    std::vector<Buffer> all;
    for (Buffer buffer = test.service_.buffers().try_acquire(4096); buffer.data() != nullptr;
         buffer = test.service_.buffers().try_acquire(4096)) {
      all.push_back(std::move(buffer));
    }
    EXPECT_EQ(co_await test.ask(ublk::kWrite, 0, 4096), -ENOSPC);
    EXPECT_EQ(co_await test.ask(ublk::kRead, 0, 4096), 4096) << "reads have memory of their own";
    all.clear();
    test.driver_.copies_fail = true;
    EXPECT_EQ(co_await test.ask(ublk::kRead, 0, 4096), -EIO);
    EXPECT_EQ(co_await test.ask(ublk::kWrite, 0, 4096), -EIO);
    EXPECT_EQ(co_await test.ask(ublk::kRead, kSize, 4096), -EIO);
    EXPECT_EQ(co_await test.ask(99, 0, 4096), -EOPNOTSUPP);
    co_await device->shutdown();
  });
}

TEST_F(UblkDeviceTest, RequestsInFlightAreBoundedByTheBudget) {
  run([](UblkDeviceTest& test) -> Task<void> {
    RequestBudget budget(test.executor_, 2);
    UblkDevice device(test.executor_, test.driver_, test.service_, budget, test.settings());
    co_await test.start(device);
    test.service_.hold();
    std::deque<Request> requests;
    for (int i = 0; i < 10; ++i) {
      requests.emplace_back(test.executor_, ublk::IoDescriptor{ublk::kRead, 8, 0, 0});
      test.driver_.send(0, requests.back());
    }
    co_await test.settle();
    EXPECT_EQ(test.service_.counts.reads, 1U);
    test.service_.let_go();
    for (Request& each : requests) {
      co_await each.answered.wait();
      EXPECT_EQ(each.result, 4096);
    }
    co_await device.shutdown();
    EXPECT_TRUE(budget.is_idle());
  });
}

// ---- starts that fail

TEST_F(UblkDeviceTest, ANumberThatIsTakenIsSaid) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await test.start(*device);
    auto settings = test.settings();
    settings.device = 0;
    auto second = test.make(std::move(settings));
    const auto started = co_await second->start();
    EXPECT_FALSE(started.ok());
    EXPECT_EQ(started.error().code(), Errc::exists);
    EXPECT_EQ(test.driver_.count(), 1U);
    EXPECT_EQ(co_await test.ask(ublk::kRead, 0, 4096), 4096);
    co_await second->shutdown();
    co_await device->shutdown();
  });
}

TEST_F(UblkDeviceTest, AfterAnyFailureOfAStartNothingIsLeft) {
  run([](UblkDeviceTest& test) -> Task<void> {
    // (GCC 12 does not keep a list in braces where a loop over it waits.)
    constexpr std::array kOperations{ublk::kGetFeatures, ublk::kAddDevice, ublk::kSetParameters,
                                     ublk::kStartDevice};
    constexpr std::array kErrors{-EPERM, -EINVAL, -ENOMEM};
    for (const std::uint32_t operation : kOperations) {
      for (const int error : kErrors) {
        test.driver_.failures[operation] = error;
        auto device = test.make();
        const auto started = co_await device->start();
        EXPECT_FALSE(started.ok());
        EXPECT_EQ(test.driver_.count(), 0U);
        EXPECT_EQ(device->clients(), 0U);
        co_await device->shutdown();
      }
    }
  });
}

TEST_F(UblkDeviceTest, FeaturesThatAreMissingAreSaid) {
  run([](UblkDeviceTest& test) -> Task<void> {
    constexpr std::array kTooFew{std::uint64_t{0}, ublk::kIoctlEncode,
                                 ublk::kIoctlEncode | ublk::kUserRecovery};
    for (const std::uint64_t features : kTooFew) {
      test.driver_.features = features;
      auto device = test.make();
      const auto started = co_await device->start();
      EXPECT_FALSE(started.ok());
      EXPECT_EQ(started.error().code(), Errc::unsupported);
    }
  });
}

TEST_F(UblkDeviceTest, SettingsThatMakeNoSenseAreSaid) {
  run([](UblkDeviceTest& test) -> Task<void> {
    const std::array changes{+[](UblkDevice::Settings& s) { s.depth = 0; },
                             +[](UblkDevice::Settings& s) { s.depth = 5000; },
                             +[](UblkDevice::Settings& s) { s.queues = 2000; },
                             +[](UblkDevice::Settings& s) { s.logical_block_size = 100; },
                             +[](UblkDevice::Settings& s) { s.max_io_bytes = 100; }};
    for (const auto change : changes) {
      auto settings = test.settings();
      change(settings);
      auto device = test.make(std::move(settings));
      const auto started = co_await device->start();
      EXPECT_FALSE(started.ok());
      EXPECT_EQ(started.error().code(), Errc::invalid_argument);
      EXPECT_EQ(test.driver_.count(ublk::kAddDevice), 0U);
    }
  });
}

TEST_F(UblkDeviceTest, ItWaitsUntilTheNodeIsThere) {
  run([](UblkDeviceTest& test) -> Task<void> {
    test.driver_.opens_to_fail = 10;
    auto device = test.make();
    co_await test.start(*device);
    co_await device->shutdown();
    test.driver_.opens_to_fail = 1'000'000;
    auto second = test.make();
    const auto started = co_await second->start();
    EXPECT_FALSE(started.ok());
    EXPECT_EQ(test.driver_.count(), 0U);
  });
}

TEST_F(UblkDeviceTest, ADriverThatRefusesToSendEndsTheStart) {
  run([](UblkDeviceTest& test) -> Task<void> {
    test.driver_.refuses_fetches = true;
    auto device = test.make();
    const auto started = co_await device->start();
    EXPECT_FALSE(started.ok());
    EXPECT_EQ(test.driver_.count(), 0U);
    EXPECT_TRUE(test.has_line("refused to send requests"));
  });
}

// ---- from one server to the next

TEST_F(UblkDeviceTest, TheNextServerAnswersWhatTheLastOneLeft) {
  run([](UblkDeviceTest& test) -> Task<void> {
    RequestBudget budget(test.executor_, 2);
    auto first = std::make_unique<UblkDevice>(test.executor_, test.driver_, test.service_, budget,
                                              test.settings());
    co_await test.start(*first);
    test.service_.hold();
    auto begun = test.request(ublk::kWrite, 0, 4096);
    auto waiting = test.request(ublk::kWrite, 4096, 4096);
    test.fill(begun);
    test.fill(waiting);
    test.driver_.send(0, begun);
    test.driver_.send(0, waiting);
    co_await test.settle();
    bool has_left = false;
    TaskGroup leaving(test.executor_);
    leaving.start([](UblkDevice& device, bool& left) -> Task<void> {
      EXPECT_TRUE((co_await device.leave()).ok());
      left = true;
    }(*first, has_left));
    Alarm pause(test.executor_);
    co_await pause.sleep(std::chrono::milliseconds(500));
    EXPECT_FALSE(has_left) << "what was begun is answered first";
    test.service_.let_go();
    co_await leaving.wait();
    EXPECT_EQ(begun.result, 4096);
    EXPECT_FALSE(waiting.answered.is_set());
    EXPECT_EQ(test.service_.counts.flushes, 1U) << "what was answered is stable";
    first.reset();
    test.driver_.kill_server(0);
    auto late = test.request(ublk::kRead, 4096, 4096);
    test.driver_.send(0, late);
    auto second = test.make(test.takeover());
    co_await test.start(*second);
    co_await waiting.answered.wait();
    EXPECT_EQ(waiting.result, 4096);
    EXPECT_EQ(waiting.deliveries, 2);
    co_await late.answered.wait();
    EXPECT_EQ(late.result, 4096);
    EXPECT_EQ(test.driver_.count(ublk::kAddDevice), 1U);
    co_await second->shutdown();
    EXPECT_EQ(test.driver_.count(), 0U);
  });
}

TEST_F(UblkDeviceTest, AFlushThatFailsIsToldByTheOneWhoLeaves) {
  class FlushFails final : public BlockService {
   public:
    explicit FlushFails(BlockService& service) : service_(service) {}
    [[nodiscard]] std::uint64_t size() const override { return service_.size(); }
    [[nodiscard]] bool is_read_only() const override { return false; }
    BufferPool& buffers() override { return service_.buffers(); }
    Task<Result<void>> read(std::uint64_t offset, MutableBytes out) override {
      return service_.read(offset, out);
    }
    Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) override {
      return service_.write(offset, std::move(data), durability);
    }
    Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                               Durability durability) override {
      return service_.discard(offset, length, durability);
    }
    Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                    Durability durability) override {
      return service_.write_zeroes(offset, length, mode, durability);
    }
    Task<Result<void>> flush() override { co_return Error(Errc::io, "the disk has failed"); }
    Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                              std::size_t limit) override {
      return service_.extents(offset, length, limit);
    }

   private:
    BlockService& service_;
  };
  run([](UblkDeviceTest& test) -> Task<void> {
    FlushFails service(test.service_);
    UblkDevice device(test.executor_, test.driver_, service, test.budget_, test.settings());
    co_await test.start(device);
    EXPECT_FALSE((co_await device.leave()).ok());
    EXPECT_EQ(device.clients(), 0U);
  });
}

TEST_F(UblkDeviceTest, WhereTheDriverCanQuiesceTheNextServerNeedNotWait) {
  run([](UblkDeviceTest& test) -> Task<void> {
    test.driver_.features |= ublk::kCanQuiesce;
    auto first = test.make();
    co_await test.start(*first);
    EXPECT_TRUE((co_await first->leave()).ok());
    EXPECT_EQ(test.driver_.count(ublk::kQuiesceDevice), 1U);
    auto second = test.make(test.takeover());
    co_await test.start(*second);
    EXPECT_EQ(co_await test.ask(ublk::kRead, 0, 4096), 4096);
    // A driver that cannot now leaves it to the end of the process.
    test.driver_.failures[ublk::kQuiesceDevice] = -EBUSY;
    EXPECT_TRUE((co_await second->leave()).ok());
    auto third = test.make(test.takeover());
    EXPECT_EQ((co_await third->start()).error().code(), Errc::busy);
    test.driver_.kill_server(0);
    auto fourth = test.make(test.takeover());
    co_await test.start(*fourth);
    co_await fourth->shutdown();
  });
}

TEST_F(UblkDeviceTest, WhatIsNotThisVolumesIsNotTakenOver) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto first = test.make();
    co_await test.start(*first);
    EXPECT_TRUE((co_await first->leave()).ok());
    test.driver_.kill_server(0);
    const auto refusal = [&](UblkDevice::Settings settings) -> Task<Errc> {
      auto device = test.make(std::move(settings));
      const auto started = co_await device->start();
      EXPECT_FALSE(started.ok());
      EXPECT_EQ(test.driver_.count(ublk::kStartRecovery), 0U);
      co_return started ? Errc::io : started.error().code();
    };
    EXPECT_EQ(co_await refusal(test.takeover(false)), Errc::io) << "writes may be lost";
    auto foreign = test.takeover();
    foreign.identity = kIdentity + 1;
    EXPECT_EQ(co_await refusal(std::move(foreign)), Errc::exists);
    test.driver_.find(0)->info.server_data = 0;
    auto nameless = test.takeover();
    nameless.identity = 0;
    EXPECT_EQ(co_await refusal(std::move(nameless)), Errc::exists);
    test.driver_.find(0)->info.server_data = kIdentity;
    auto absent = test.takeover();
    absent.takeover->device = 9;
    EXPECT_EQ(co_await refusal(std::move(absent)), Errc::not_found);
    auto& made = *test.driver_.find(0);
    made.parameters.sectors *= 2;
    EXPECT_EQ(co_await refusal(test.takeover()), Errc::invalid_argument) << "it is too large";
    made.parameters.sectors /= 2;
    made.info.flags &= ~ublk::kUserRecoveryReissue;
    EXPECT_EQ(co_await refusal(test.takeover()), Errc::unsupported);
    made.info.flags |= ublk::kUserRecoveryReissue;
    made.info.state = ublk::kStateDead;
    EXPECT_EQ(co_await refusal(test.takeover()), Errc::not_found);
    made.info.state = ublk::kStateQuiesced;
    auto second = test.make(test.takeover());
    co_await test.start(*second);
    co_await second->shutdown();
  });
}

TEST_F(UblkDeviceTest, ADeviceThatWritesThroughIsTakenOverFromAServerThatWasKilled) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto settings = test.settings();
    settings.writes_through = true;
    auto first = test.make(std::move(settings));
    co_await test.start(*first);
    EXPECT_TRUE((co_await first->leave()).ok());
    test.driver_.kill_server(0);
    auto second = test.make(test.takeover(false));
    co_await test.start(*second);
    EXPECT_EQ(co_await test.ask(ublk::kWrite, 0, 4096), 4096);
    EXPECT_EQ(test.service_.counts.fua_writes, 1U) << "it stays what it was made";
    co_await second->shutdown();
  });
}

TEST_F(UblkDeviceTest, ATakeoverThatFailsLeavesTheDeviceToTheNext) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto first = test.make();
    co_await test.start(*first);
    EXPECT_TRUE((co_await first->leave()).ok());
    test.driver_.kill_server(0);
    test.driver_.failures[ublk::kEndRecovery] = -EINVAL;
    auto second = test.make(test.takeover());
    EXPECT_FALSE((co_await second->start()).ok());
    EXPECT_EQ(test.driver_.count(), 1U);
    test.driver_.kill_server(0);
    auto third = test.make(test.takeover());
    co_await test.start(*third);
    co_await third->shutdown();
  });
}

// ---- changes and ends

TEST_F(UblkDeviceTest, TheKernelIsToldOfAGrowthWhereItCanBe) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await test.start(*device);
    test.service_.grow(kSize + 4096);
    device->size_changed();
    co_await test.settle();
    EXPECT_EQ(test.driver_.find(0)->parameters.sectors, kSize / 512);
    EXPECT_TRUE(test.has_line("keeps its size"));
    co_await device->shutdown();
    test.driver_.features |= ublk::kCanUpdateSize;
    device = test.make();
    co_await test.start(*device);
    test.service_.grow(kSize + 8192);
    device->size_changed();
    co_await test.settle();
    EXPECT_EQ(test.driver_.find(0)->parameters.sectors, kSize / 512 + 16);
    EXPECT_EQ(co_await test.ask(ublk::kRead, kSize + 4096, 4096), 4096);
    co_await device->shutdown();
  });
}

TEST_F(UblkDeviceTest, AVolumeThatHasGrownIsToldAtATakeover) {
  run([](UblkDeviceTest& test) -> Task<void> {
    test.driver_.features |= ublk::kCanUpdateSize;
    auto first = test.make();
    co_await test.start(*first);
    EXPECT_TRUE((co_await first->leave()).ok());
    test.driver_.kill_server(0);
    test.service_.grow(2 * kSize);
    auto second = test.make(test.takeover());
    co_await test.start(*second);
    co_await test.settle();
    EXPECT_EQ(test.driver_.find(0)->parameters.sectors, 2 * kSize / 512);
    co_await second->shutdown();
  });
}

TEST_F(UblkDeviceTest, AStopAnswersWhatHasBegunAndGivesUpTheRest) {
  run([](UblkDeviceTest& test) -> Task<void> {
    RequestBudget budget(test.executor_, 2);
    UblkDevice device(test.executor_, test.driver_, test.service_, budget, test.settings());
    co_await test.start(device);
    test.service_.hold();
    auto begun = test.request(ublk::kRead, 0, 4096);
    auto waiting = test.request(ublk::kRead, 0, 4096);
    test.driver_.send(0, begun);
    test.driver_.send(0, waiting);
    co_await test.settle();
    TaskGroup ending(test.executor_);
    ending.start(device.shutdown());
    Alarm pause(test.executor_);
    co_await pause.sleep(std::chrono::seconds(1));
    EXPECT_EQ(ending.running(), 1U);
    test.service_.let_go();
    co_await ending.wait();
    EXPECT_EQ(begun.result, 4096);
    EXPECT_EQ(waiting.result, -EIO);
    EXPECT_EQ(test.driver_.count(), 0U);
  });
}

TEST_F(UblkDeviceTest, AStopEndsLongRequestsEarly) {
  run([](UblkDeviceTest& test) -> Task<void> {
    MemoryBlockService large(test.executor_, {.size = std::uint64_t{1} << 30U, .null = true});
    UblkDevice device(test.executor_, test.driver_, large, test.budget_, test.settings());
    co_await test.start(device);
    large.hold();
    auto zeroes = test.request(ublk::kWriteZeroes, 0, std::uint64_t{1} << 30U);
    test.driver_.send(0, zeroes);
    co_await test.settle();
    TaskGroup ending(test.executor_);
    ending.start(device.shutdown());
    Alarm pause(test.executor_);
    co_await pause.sleep(std::chrono::seconds(1));
    large.let_go();
    co_await ending.wait();
    EXPECT_EQ(zeroes.result, -EIO);
    EXPECT_EQ(large.counts.zeroes, 1U);
  });
}

TEST_F(UblkDeviceTest, AStopDoesNotHurryAsLongAsRequestsAreAnswered) {
  run([](UblkDeviceTest& test) -> Task<void> {
    RequestBudget budget(test.executor_, 2);
    UblkDevice device(test.executor_, test.driver_, test.service_, budget, test.settings());
    co_await test.start(device);
    test.service_.hold();
    std::deque<Request> requests;
    for (int i = 0; i < 4; ++i) {
      requests.emplace_back(test.executor_, ublk::IoDescriptor{ublk::kRead, 8, 0, 0});
      test.driver_.send(0, requests.back());
    }
    TaskGroup ending(test.executor_);
    ending.start(device.shutdown());
    Alarm pause(test.executor_);
    for (Request& each : requests) {
      co_await pause.sleep(std::chrono::milliseconds(80));
      test.service_.let_go();
      co_await each.answered.wait();
      test.service_.hold();
    }
    test.service_.let_go();
    co_await ending.wait();
    for (const Request& each : requests) EXPECT_EQ(each.result, 4096);
  });
}

TEST_F(UblkDeviceTest, ItIsNoticedWhenSomebodyElseStopsTheDevice) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await test.start(*device);
    UblkControl control(test.executor_, test.driver_);
    EXPECT_TRUE((co_await control.stop(test.driver_.find(0)->info)).ok());
    co_await test.settle();
    EXPECT_EQ(test.lost_, 1);
    EXPECT_TRUE(test.has_line("stopped by somebody else"));
    co_await device->shutdown();
    EXPECT_EQ(test.driver_.count(), 0U);
  });
}

TEST_F(UblkDeviceTest, ADeviceThatWasNotStartedIsShutDown) {
  run([](UblkDeviceTest& test) -> Task<void> {
    auto device = test.make();
    co_await device->shutdown();
    EXPECT_TRUE(test.driver_.commands.empty());
  });
}

}  // namespace
}  // namespace uvdo
