// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/attachments.h"

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "async/sim_executor.h"
#include "base/testing/temporary_folder.h"
#include "block/testing/memory_block_service.h"
#include "device/device_users.h"

namespace uvdo {
namespace {

using Texts = std::vector<std::string>;

constexpr std::uint64_t kSize = 64ULL << 20U;

/// Stands for a device: a file of the test's folder, and notes of what happens to it.
class NotedDevice final : public FrontEnd {
 public:
  NotedDevice(Attachments::Order order, std::string path, Texts& notes)
      : order_(std::move(order)), path_(std::move(path)), notes_(notes) {}
  [[nodiscard]] std::string_view kind() const override { return name_of(order_.device.kind); }
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override { return {{path_}}; }
  [[nodiscard]] std::size_t clients() const override { return 1; }
  Task<Result<void>> start() override {
    std::ofstream(path_) << "a device";
    note(order_.take_over ? "taken over" : "made");
    co_return Result<void>();
  }
  void size_changed() override { note("grows"); }
  Task<void> shutdown() override {
    std::filesystem::remove(path_);
    note("ends");
    co_return;
  }
  [[nodiscard]] bool can_leave() const override { return order_.device.kind == DeviceKind::ublk; }
  Task<Result<void>> leave() override {
    note("waits");
    co_return Result<void>();
  }

 private:
  void note(const std::string& what) {
    notes_.push_back(std::string(kind()) + " " + order_.device.name + " " + what);
  }
  Attachments::Order order_;
  std::string path_;
  Texts& notes_;
};

class AttachmentsTest : public ::testing::Test {
 protected:
  [[nodiscard]] Attachments::Settings settings() {
    Attachments::Settings settings;
    settings.volume = "/srv/pool.vdo";
    settings.volume_id = "a";
    settings.state_file = folder_.path("state");
    settings.link_folder = folder_.path("links");
    settings.udev_folder = folder_.path("udev");
    settings.mapper_folder = folder_.path("mapper");
    settings.users_of = [](const std::string& path) { return users_of(path); };
    settings.make = [this](const Attachments::Order& order) { return make(order); };
    return settings;
  }

  static Task<std::vector<std::string>> users_of(std::string path) {
    const auto id = StorageId::at(path);
    co_return id ? DeviceUsers().of(*id) : std::vector<std::string>();
  }

  /// ublk cannot be had unless `has_ublk_`.
  Result<std::unique_ptr<FrontEnd>> make(const Attachments::Order& order) {
    if (order.device.kind == DeviceKind::ublk && !has_ublk_) {
      return Error(Errc::unsupported, "no driver");
    }
    const std::string path =
        folder_.path(std::string(name_of(order.device.kind)) + "-device-" + order.device.name);
    return std::unique_ptr<FrontEnd>(std::make_unique<NotedDevice>(order, path, notes_));
  }

  void run(const std::function<Task<void>(Attachments&)>& body, Attachments::Settings settings) {
    executor_.run(
        [](AttachmentsTest& test, Attachments::Settings how, const auto& use) -> Task<void> {
          testing::MemoryBlockService::Options options;
          options.size = kSize;
          testing::MemoryBlockService service(test.executor_, options);
          Attachments attachments(test.executor_, service, std::move(how),
                                  [&test](const LogLine& line) { test.log_.push_back(line.text); });
          co_await use(attachments);
          if (!attachments.is_empty()) co_await attachments.stop(Attachments::End::for_good);
        }(*this, std::move(settings), body));
  }
  void run(const std::function<Task<void>(Attachments&)>& body) { run(body, settings()); }

  static AttachRequest request(std::optional<DeviceKind> kind, std::string name = "") {
    AttachRequest request;
    request.kind = kind;
    request.name = std::move(name);
    return request;
  }

  const testing::TemporaryFolder folder_;
  SimExecutor executor_{SimExecutorOptions{}};
  bool has_ublk_ = true;
  Texts notes_;
  Texts log_;
};

TEST_F(AttachmentsTest, ADeviceIsNamedAfterTheVolumeAndLinked) {
  run([this](Attachments& attachments) -> Task<void> {
    const auto made = co_await attachments.attach(request(DeviceKind::ublk));
    EXPECT_TRUE(made.ok());
    if (!made) co_return;
    EXPECT_EQ(made->name, "pool");
    EXPECT_EQ(made->path, folder_.path("ublk-device-pool"));
    if (geteuid() == 0) {
      EXPECT_EQ(made->link, folder_.path("links") + "/pool");
      EXPECT_TRUE(std::filesystem::equivalent(made->link, made->path));
      std::ifstream told(folder_.path("udev") + "/ublk-device-pool");
      std::string name;
      EXPECT_TRUE(std::getline(told, name));
      EXPECT_EQ(name, "UVDO_NAME=pool");
    }
    EXPECT_EQ(attachments.clients(), 1U);
    const auto gone = co_await attachments.detach("pool", DetachMode::unused);
    EXPECT_FALSE(std::filesystem::exists(folder_.path("udev") + "/ublk-device-pool"));
    EXPECT_TRUE(gone.ok() && *gone);
    EXPECT_TRUE(attachments.is_empty());
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(made->link)));
  });
  EXPECT_EQ(notes_, (Texts{"ublk pool made", "ublk pool ends"}));
  EXPECT_FALSE(std::filesystem::exists(folder_.path("state"))) << "nothing is left";
}

TEST_F(AttachmentsTest, WhereNoKindIsNamedTheFirstIsTakenThatCanBeHad) {
  has_ublk_ = false;
  run([](Attachments& attachments) -> Task<void> {
    const auto made = co_await attachments.attach(request({}));
    EXPECT_TRUE(made.ok() && made->kind == DeviceKind::nbd);
    const auto wanted = co_await attachments.attach(request(DeviceKind::ublk, "other"));
    EXPECT_FALSE(wanted.ok());
    EXPECT_EQ(wanted.ok() ? "" : wanted.error().message(), "no driver");
  });
}

TEST_F(AttachmentsTest, TheSameDeviceIsGivenAgainAndAnotherNeedsAnotherName) {
  run([](Attachments& attachments) -> Task<void> {
    const auto first = co_await attachments.attach(request(DeviceKind::ublk));
    const auto again = co_await attachments.attach(request({}));
    EXPECT_TRUE(first.ok() && again.ok() && first->path == again->path);
    auto other = request(DeviceKind::ublk);
    other.read_only = true;
    const auto refused = co_await attachments.attach(other);
    EXPECT_TRUE(!refused.ok() && refused.error().code() == Errc::busy);
    other.name = "for-backup";
    const auto second = co_await attachments.attach(other);
    EXPECT_TRUE(second.ok() && second->read_only);
    EXPECT_EQ(attachments.list().size(), 2U);
  });
}

TEST_F(AttachmentsTest, ANameIsOneOfAFileInAFolder) {
  run([](Attachments& attachments) -> Task<void> {
    for (const char* name : {"../x", "a/b", ".hidden", "a b", "-x"}) {
      const auto made = co_await attachments.attach(request(DeviceKind::ublk, name));
      EXPECT_TRUE(!made.ok() && made.error().code() == Errc::invalid_argument) << name;
    }
  });
  EXPECT_EQ(device_name_of("/a/my volume (1).img"), "my-volume--1-");
  EXPECT_EQ(device_name_of("/a/.img"), "img");
  EXPECT_EQ(device_name_of("/a/---"), "volume");
}

TEST_F(AttachmentsTest, ALinkToAnotherDeviceIsNotTaken) {
  std::filesystem::create_directory(folder_.path("links"));
  std::filesystem::create_symlink("/dev/null", folder_.path("links") + "/pool");
  std::filesystem::create_symlink("/nowhere", folder_.path("links") + "/gone");
  std::ofstream(folder_.path("disk")) << "x";
  std::filesystem::create_symlink("../disk", folder_.path("links") + "/disk");  // as udev's are
  run([](Attachments& attachments) -> Task<void> {
    const auto made = co_await attachments.attach(request(DeviceKind::ublk));
    EXPECT_TRUE(!made.ok() && made.error().code() == Errc::busy);
    const auto linked = co_await attachments.attach(request(DeviceKind::ublk, "disk"));
    EXPECT_TRUE(!linked.ok() && linked.error().code() == Errc::busy);
    const auto other = co_await attachments.attach(request(DeviceKind::ublk, "gone"));
    EXPECT_TRUE(other.ok()) << "a link to a device that is gone is nobody's";
  });
}

TEST_F(AttachmentsTest, ANameAmongMappedDevicesIsTakenOnlyIfItIsFree) {
  if (geteuid() != 0) GTEST_SKIP() << "only root makes links to devices";
  const std::string mapper = folder_.path("mapper");
  std::filesystem::create_directory(mapper);
  std::filesystem::create_symlink("/dev/null", mapper + "/taken");
  std::filesystem::create_symlink("/nowhere", mapper + "/gone");
  run([&](Attachments& attachments) -> Task<void> {
    auto wanted = request(DeviceKind::ublk, "a");
    wanted.mapper_name = "taken";
    const auto made = co_await attachments.attach(wanted);
    EXPECT_TRUE(made.ok() && made->mapper_link.empty() && !made->link.empty());
    wanted.name = "b";
    wanted.mapper_name = "gone";
    const auto other = co_await attachments.attach(wanted);
    EXPECT_TRUE(other.ok() && other->mapper_link == mapper + "/gone");
    EXPECT_TRUE(other.ok() && std::filesystem::equivalent(other->mapper_link, other->path));
    wanted.name = "c";
    wanted.mapper_name = "../c";
    const auto refused = co_await attachments.attach(wanted);
    EXPECT_TRUE(!refused.ok() && refused.error().code() == Errc::invalid_argument);
  });
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(mapper + "/gone")));
  EXPECT_TRUE(std::filesystem::exists(mapper + "/taken")) << "it is another's";
}

TEST_F(AttachmentsTest, APartThatIsNotThereIsRefused) {
  run([](Attachments& attachments) -> Task<void> {
    auto part = request(DeviceKind::ublk);
    part.offset = kSize;
    const auto made = co_await attachments.attach(part);
    EXPECT_TRUE(!made.ok() && made.error().code() == Errc::invalid_argument);
    EXPECT_TRUE(attachments.is_empty());
  });
  EXPECT_EQ(notes_, Texts{});
}

TEST_F(AttachmentsTest, AServerThatFollowsTakesTheDevicesOver) {
  // As a server that is killed leaves it: the state file stays.
  const AttachedDevice left{"pool", DeviceKind::ublk, "/dev/ublkb7"};
  ASSERT_TRUE(AttachmentState(folder_.path("state"), "a").save({left}).ok());
  run([](Attachments& attachments) -> Task<void> {
    co_await attachments.restore();
    EXPECT_EQ(attachments.list().size(), 1U);
  });
  EXPECT_EQ(notes_, (Texts{"ublk pool taken over", "ublk pool ends"}));
}

TEST_F(AttachmentsTest, DevicesOfAnotherVolumeAreNotTakenOver) {
  const AttachedDevice left{"pool", DeviceKind::ublk, "/dev/ublkb7"};
  ASSERT_TRUE(AttachmentState(folder_.path("state"), "b").save({left}).ok());
  run([](Attachments& attachments) -> Task<void> {
    co_await attachments.restore();
    EXPECT_TRUE(attachments.is_empty());
  });
  EXPECT_EQ(notes_, Texts{});
}

TEST_F(AttachmentsTest, ADamagedStateIsSaidAndNothingIsTakenOver) {
  std::ofstream(folder_.path("state")) << "{\"volume\": 3";
  run([](Attachments& attachments) -> Task<void> {
    co_await attachments.restore();
    EXPECT_TRUE(attachments.is_empty());
  });
  ASSERT_FALSE(log_.empty());
  EXPECT_NE(log_.front().find("is no list of devices"), std::string::npos) << log_.front();
}

TEST_F(AttachmentsTest, OneThatCannotBeTakenOverIsForgotten) {
  has_ublk_ = false;
  const AttachmentState state(folder_.path("state"), "a");
  ASSERT_TRUE(state.save({{"pool", DeviceKind::ublk, "/dev/ublkb7"}}).ok());
  std::filesystem::create_directory(folder_.path("udev"));
  const std::string told = folder_.path("udev") + "/ublkb7";
  std::ofstream(told) << "UVDO_NAME=pool\n";
  run([](Attachments& attachments) -> Task<void> {
    co_await attachments.restore();
    EXPECT_TRUE(attachments.is_empty());
  });
  EXPECT_FALSE(std::filesystem::exists(told)) << "another device of that number has that name";
  EXPECT_EQ(log_.front(), "device pool is not taken over: no driver");
  const auto kept = state.load();
  EXPECT_TRUE(kept.ok() && kept->empty());
}

/// Another process that has a file open, as long as this lives.
class Holder {
 public:
  explicit Holder(const std::string& path) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe(ends.data()), 0);
    pid_ = fork();
    if (pid_ == 0) {
      const int fd = open(path.c_str(), O_RDONLY);
      const char ready = fd >= 0 ? 'y' : 'n';
      if (write(ends[1], &ready, 1) == 1) pause();
      _exit(0);
    }
    char ready = 0;
    EXPECT_EQ(read(ends[0], &ready, 1), 1);
    EXPECT_EQ(ready, 'y');
    close(ends[0]);
    close(ends[1]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_ = -1;
};

TEST_F(AttachmentsTest, ADeviceThatIsUsedStaysUntilItIsNotOrByForce) {
  run([](Attachments& attachments) -> Task<void> {
    const auto made = co_await attachments.attach(request(DeviceKind::fuse));
    const auto other = co_await attachments.attach(request(DeviceKind::fuse, "other"));
    EXPECT_TRUE(made.ok() && other.ok());
    if (!made || !other) co_return;
    std::optional<Holder> holder(made->path);
    const Holder second(other->path);
    const auto refused = co_await attachments.detach(made->path, DetachMode::unused);
    EXPECT_TRUE(!refused.ok() && refused.error().code() == Errc::busy);
    const auto users = co_await attachments.users();
    EXPECT_EQ(users.size(), 2U);
    const auto forced = co_await attachments.detach(other->path, DetachMode::force);
    EXPECT_TRUE(forced.ok() && *forced);
    const auto later = co_await attachments.detach(made->path, DetachMode::lazy);
    EXPECT_TRUE(later.ok() && !*later);
    EXPECT_TRUE(attachments.has_leaving());
    co_await attachments.end_unused();
    EXPECT_FALSE(attachments.is_empty()) << "somebody has it open";
    holder.reset();
    co_await attachments.end_unused();
    EXPECT_TRUE(attachments.is_empty());
  });
}

TEST_F(AttachmentsTest, AtTheEndThoseInUseWaitForTheNextServerIfTheirKindCan) {
  std::optional<Holder> holder;
  run([&](Attachments& attachments) -> Task<void> {
    const auto can_wait = co_await attachments.attach(request(DeviceKind::ublk, "a"));
    const auto unused = co_await attachments.attach(request(DeviceKind::ublk, "b"));
    EXPECT_TRUE(can_wait.ok() && unused.ok());
    if (!can_wait) co_return;
    holder.emplace(can_wait->path);
    co_await attachments.stop(Attachments::End::wait);
    const auto late = co_await attachments.attach(request(DeviceKind::ublk, "c"));
    EXPECT_TRUE(!late.ok() && late.error().code() == Errc::cancelled);
    const auto kept = AttachmentState(folder_.path("state"), "a").load();
    EXPECT_TRUE(kept.ok() && kept->size() == 1 && kept->front().name == "a");
  });
  EXPECT_EQ(notes_, (Texts{"ublk a made", "ublk b made", "ublk b ends", "ublk a waits"}));
}

}  // namespace
}  // namespace uvdo
