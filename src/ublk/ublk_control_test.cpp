// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_control.h"

#include <array>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "ublk/testing/fake_ublk_driver.h"

namespace uvdo {
namespace {

class UblkControlTest : public ::testing::Test {
 public:
  template <class Test>
  void run(Test test) {
    const auto outcome = executor_.run(test(*this));
    EXPECT_TRUE(outcome.finished) << outcome.why;
  }
  Task<ublk::DeviceInfo> add(std::uint64_t identity, std::uint64_t flags = ublk::kUserRecovery) {
    ublk::DeviceInfo wanted;
    wanted.device = ublk::kAnyDevice;
    wanted.queues = 1;
    wanted.depth = 4;
    wanted.max_io_bytes = 4096;
    wanted.flags = flags;
    wanted.server_data = identity;
    const auto added = co_await control_.add(wanted);
    EXPECT_TRUE(added.ok());
    co_return *added;
  }

  SimExecutor executor_{{.seed = 5}};
  testing::FakeUblkDriver driver_{executor_};
  UblkControl control_{executor_, driver_};
};

TEST_F(UblkControlTest, DevicesAreFoundByTheirIdentity) {
  run([](UblkControlTest& test) -> Task<void> {
    // (GCC 12 does not keep a list in braces where a loop over it waits.)
    constexpr std::array<std::uint64_t, 3> kMade{0, 11, 12};
    for (const std::uint64_t identity : kMade) co_await test.add(identity);
    const auto found = co_await test.control_.find(11);
    EXPECT_TRUE(found.ok() && found->has_value());
    EXPECT_EQ((**found).device, 1U);
    constexpr std::array<std::uint64_t, 2> kAbsent{0, 13};
    for (const std::uint64_t identity : kAbsent) {
      const auto none = co_await test.control_.find(identity);
      EXPECT_TRUE(none.ok() && !none->has_value());
    }
  });
}

TEST_F(UblkControlTest, ThePathGoesAlongWithCommandsToDevicesOfUsers) {
  run([](UblkControlTest& test) -> Task<void> {
    const ublk::DeviceInfo device = co_await test.add(1, ublk::kUnprivilegedDevice);
    const UblkAttributes attributes{.size = 1U << 20U, .max_io_bytes = 4096};
    EXPECT_TRUE((co_await test.control_.set_attributes(device, attributes)).ok());
    const auto told = co_await test.control_.attributes(device);
    EXPECT_TRUE(told.ok() && *told == attributes);
    EXPECT_TRUE((co_await test.control_.info(device.device)).ok());
    EXPECT_TRUE((co_await test.control_.end(device, std::chrono::seconds(1))).ok());
    EXPECT_EQ(test.driver_.count(), 0U);
  });
}

TEST_F(UblkControlTest, NonsenseOfTheDriverIsRefused) {
  run([](UblkControlTest& test) -> Task<void> {
    co_await test.add(1);
    auto& info = test.driver_.find(0)->info;
    const ublk::DeviceInfo right = info;
    EXPECT_TRUE((co_await test.control_.info(0)).ok());
    info.queues = 0;
    EXPECT_EQ((co_await test.control_.info(0)).error().code(), Errc::protocol);
    info = right;
    info.depth = 5000;
    EXPECT_EQ((co_await test.control_.info(0)).error().code(), Errc::protocol);
    info = right;
    info.max_io_bytes = 0;
    EXPECT_EQ((co_await test.control_.info(0)).error().code(), Errc::protocol);
  });
}

TEST_F(UblkControlTest, ErrorsSayWhatIsWrong) {
  run([](UblkControlTest& test) -> Task<void> {
    const ublk::DeviceInfo device = co_await test.add(1);
    const auto message = [&](std::uint32_t operation, int error,
                             Task<Result<void>> command) -> Task<std::string> {
      test.driver_.failures[operation] = error;
      const auto done = co_await std::move(command);
      EXPECT_FALSE(done.ok());
      co_return done ? "" : done.error().message();
    };
    const auto has = [](const std::string& text, std::string_view words) {
      return text.find(words) != std::string::npos;
    };
    const auto limit = std::chrono::seconds(1);
    std::string told = co_await message(ublk::kStopDevice, -EPERM, test.control_.stop(device));
    EXPECT_TRUE(has(told, "only root")) << told;
    told = co_await message(ublk::kStopDevice, -ENODEV, test.control_.stop(device));
    EXPECT_TRUE(has(told, "no such device")) << told;
    told = co_await message(ublk::kDeleteDevice, -EINTR, test.control_.remove(device, limit));
    EXPECT_TRUE(has(told, "somebody still has /dev/ublkb0 open")) << told;
    told = co_await message(ublk::kStartDevice, -EINTR, test.control_.start(device, limit));
    EXPECT_TRUE(has(told, "did not end in time")) << told;
    told = co_await message(ublk::kGetFeatures, -EOPNOTSUPP,
                            [](UblkControl& control) -> Task<Result<void>> {
                              auto features = co_await control.features();
                              if (!features) co_return std::move(features).error();
                              co_return Result<void>();
                            }(test.control_));
    EXPECT_TRUE(has(told, "Linux 6.5")) << told;
  });
}

TEST_F(UblkControlTest, ATakeoverWaitsForTheServerBefore) {
  run([](UblkControlTest& test) -> Task<void> {
    const ublk::DeviceInfo device = co_await test.add(1);
    auto& made = test.driver_.find(0)->info;
    made.state = ublk::kStateLive;
    TaskGroup waiting(test.executor_);
    waiting.start([](UblkControl& control, ublk::DeviceInfo what) -> Task<void> {
      EXPECT_TRUE((co_await control.start_recovery(what, std::chrono::seconds(2))).ok());
    }(test.control_, device));
    Alarm pause(test.executor_);
    co_await pause.sleep(std::chrono::seconds(1));
    made.state = ublk::kStateQuiesced;
    co_await waiting.wait();
    made.state = ublk::kStateLive;
    const auto late = co_await test.control_.start_recovery(device, std::chrono::seconds(2));
    EXPECT_EQ(late.error().code(), Errc::busy);
  });
}

}  // namespace
}  // namespace uvdo
