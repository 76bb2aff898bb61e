// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/volume_server.h"

#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"
#include "control/control_client.h"
#include "device/memory_device.h"
#include "index/bounded_memory_index.h"
#include "volume/format_volume.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kLogicalBytes = 64ULL << 20U;

/// Notes what it is told.
class NotingFrontEnd final : public FrontEnd {
 public:
  NotingFrontEnd(std::string name, std::vector<std::string>& notes, bool can_start = true)
      : name_(std::move(name)), notes_(notes), can_start_(can_start) {}
  [[nodiscard]] std::string_view kind() const override { return name_; }
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override { return {{name_}}; }
  [[nodiscard]] std::size_t clients() const override { return 2; }
  Task<Result<void>> start() override {
    notes_.push_back(name_ + " starts");
    if (!can_start_) co_return Error(Errc::busy, "not today");
    co_return Result<void>();
  }
  void size_changed() override { notes_.push_back(name_ + " grows"); }
  Task<void> shutdown() override {
    notes_.push_back(name_ + " ends");
    co_return;
  }

 private:
  std::string name_;
  std::vector<std::string>& notes_;
  bool can_start_;
};

class VolumeServerTest : public ::testing::Test {
 protected:
  VolumeServerTest() {
    auto log = Log::start(null_.get(), Log::Format::plain, LogLevel::info);
    EXPECT_TRUE(log.ok());
    log_ = std::move(*log);
    auto loop = UringLoop::create();
    EXPECT_TRUE(loop.ok());
    loop_ = std::move(*loop);
  }

  [[nodiscard]] std::string control_path() const { return folder_.path("control"); }

  Doors open_doors() {
    Doors doors;
    doors.control_path = control_path();
    auto sockets = ListeningSocket::open({SocketAddress::Kind::unix_path, control_path(), {}});
    EXPECT_TRUE(sockets.ok());
    doors.control = std::move(*sockets);
    doors.control_link = std::make_unique<ControlLink>(folder_.path("volume"), "");
    return doors;
  }

  /// A volume in memory, of which `body` makes a server.
  void with_volume(const std::function<Task<void>(BackingStore&, Volume&)>& body) {
    auto device = MemoryDevice::create(4ULL << 30U);
    ASSERT_TRUE(device.ok());
    FormatRequest request;
    request.device_bytes = (*device)->size();
    request.slab_bits = 13;
    request.logical_bytes = kLogicalBytes;
    auto layout = make_volume_layout(request);
    ASSERT_TRUE(layout.ok()) << layout.error().message();
    loop_->run([](UringLoop& loop, BackingStore& store, const VolumeLayout& what,
                  const auto& use) -> Task<void> {
      auto formatted = co_await format_volume(store, what);
      EXPECT_TRUE(formatted.ok());
      IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
        return std::make_unique<BoundedMemoryIndex>(1024);
      };
      auto volume =
          co_await Volume::open(loop, store, VolumeOptions(), factory, [](const LogLine&) {});
      EXPECT_TRUE(volume.ok());
      if (!volume) co_return;
      co_await use(store, **volume);
      if (!(*volume)->is_stopped()) {
        const auto stopped = co_await (*volume)->stop();
        EXPECT_TRUE(stopped.ok());
      }
    }(*loop_, **device, *layout, body));
  }

  VolumeServer::Settings settings() {
    VolumeServer::Settings settings;
    settings.volume = folder_.path("volume");
    settings.may_link = false;
    return settings;
  }

  const testing::TemporaryFolder folder_;
  const FileDescriptor null_{open("/dev/null", O_WRONLY | O_CLOEXEC)};
  std::unique_ptr<Log> log_;
  std::unique_ptr<UringLoop> loop_;
  std::vector<std::string> notes_;
};

TEST_F(VolumeServerTest, FrontEndsAreStartedToldOfGrowthAndEnded) {
  with_volume([this](BackingStore& store, Volume& volume) -> Task<void> {
    Event asked(*loop_);
    auto how = settings();
    how.stop = [&asked] { asked.set(); };
    VolumeServer server(*loop_, store, volume, std::move(how), *log_);
    server.add(std::make_unique<NotingFrontEnd>("a", notes_));
    server.add(std::make_unique<NotingFrontEnd>("b", notes_));
    const auto started = co_await server.start(open_doors());
    EXPECT_TRUE(started.ok());
    EXPECT_EQ(server.clients(), 4U);
    EXPECT_EQ(server.service().size(), kLogicalBytes);
    std::jthread client([this] {
      auto connection = ControlConnection::open(control_path());
      ASSERT_TRUE(connection.ok()) << connection.error().message();
      GrowthRequest wanted;
      wanted.logical_bytes = 2 * kLogicalBytes;
      const auto grown = connection->ask(GrowthMessage(wanted));
      ASSERT_TRUE(grown.ok()) << grown.error().message();
      EXPECT_EQ(grown->logical, 2 * kLogicalBytes);
      EXPECT_TRUE(connection->ask(StatusRequest()).ok());
      EXPECT_TRUE(connection->ask(StopRequest()).ok()) << "answered when the volume is saved";
    });
    co_await asked.wait();
    const auto stopped = co_await server.stop("");
    EXPECT_TRUE(stopped.ok());
    EXPECT_TRUE(volume.is_stopped());
  });
  EXPECT_EQ(notes_, (std::vector<std::string>{"a starts", "b starts", "a grows", "b grows",
                                              "b ends", "a ends"}));
}

TEST_F(VolumeServerTest, WhileTheMachineGoesDownItServesAsLongAsADeviceIsMounted) {
  with_volume([this](BackingStore& store, Volume& volume) -> Task<void> {
    auto how = settings();
    how.make_device = [this](const Attachments::Order&) -> Result<std::unique_ptr<FrontEnd>> {
      return std::unique_ptr<FrontEnd>(
          std::make_unique<NotingFrontEnd>(folder_.path("device"), notes_));
    };
    how.devices.emplace_back();
    how.devices.back().kind = DeviceKind::file;
    how.last_users.is_going_down = [] { return true; };
    how.last_users.pause = std::chrono::milliseconds(1);
    how.last_users.users_of = [this, looks = 0](const std::string& device) mutable {
      notes_.push_back(device + " is looked at");
      return ++looks < 3 ? std::vector<std::string>{"mounted"} : std::vector<std::string>();
    };
    VolumeServer server(*loop_, store, volume, std::move(how), *log_);
    const auto started = co_await server.start(open_doors());
    EXPECT_TRUE(started.ok());
    const auto stopped = co_await server.stop("SIGTERM");
    EXPECT_TRUE(stopped.ok());
  });
  const std::string device = folder_.path("device");
  const std::string look = device + " is looked at";
  EXPECT_EQ(notes_,
            (std::vector<std::string>{device + " starts", look, look, look, device + " ends"}));
}

TEST_F(VolumeServerTest, WhereOneFrontEndCannotStartNothingRuns) {
  with_volume([this](BackingStore& store, Volume& volume) -> Task<void> {
    VolumeServer server(*loop_, store, volume, settings(), *log_);
    server.add(std::make_unique<NotingFrontEnd>("a", notes_));
    server.add(std::make_unique<NotingFrontEnd>("b", notes_, false));
    server.add(std::make_unique<NotingFrontEnd>("c", notes_));
    const auto started = co_await server.start(open_doors());
    EXPECT_FALSE(started.ok());
    EXPECT_EQ(started.ok() ? "" : started.error().message(), "not today");
    EXPECT_FALSE(volume.is_stopped());
  });
  EXPECT_EQ(notes_, (std::vector<std::string>{"a starts", "b starts", "a ends"}));
}

TEST_F(VolumeServerTest, ClientsSeeTheWindowAndMayOnlyReadWhereThatIsWanted) {
  with_volume([this](BackingStore& store, Volume& volume) -> Task<void> {
    auto how = settings();
    how.window = ServiceWindow{kBlockSize, 2 * kBlockSize};
    how.read_only = true;
    VolumeServer server(*loop_, store, volume, std::move(how), *log_);
    EXPECT_EQ(server.service().size(), 2 * kBlockSize);
    EXPECT_TRUE(server.service().is_read_only());
    co_return;
  });
}

}  // namespace
}  // namespace uvdo
