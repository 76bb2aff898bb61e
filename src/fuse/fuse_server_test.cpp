// SPDX-License-Identifier: GPL-2.0-or-later
// Real mounts, used by threads of this process; where FUSE cannot be used the tests say so.
#include "fuse/fuse_server.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "async/blocking_call.h"
#include "base/testing/temporary_folder.h"
#include "block/testing/memory_block_service.h"
#include "fuse/fuse_block_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = 16 << 20;

/// A server of memory, and how its clients are run beside it.
struct MountBench {
  MountBench(UringLoop& at, std::string mount_point,
             testing::MemoryBlockService::Options options = {.size = kSize, .room = 2 * kSize})
      : loop(at), service(at, options), budget(at, RequestBudget::kUsual) {
    settings.folder = std::move(mount_point);
    settings.log = [this](const std::string& line) { log += line + "\n"; };
  }
  [[nodiscard]] std::unique_ptr<FuseServer> make() {
    return std::make_unique<FuseServer>(loop, service, budget, settings);
  }
  /// Runs a client in a thread of its own; its answer.
  template <class Function>
  Task<int> client(Function function) {
    const auto call = [&function]() -> Result<int> { return function(); };
    auto done = co_await call_blocking(loop, Descriptors::shared, call);
    co_return done ? *done : -1;
  }
  UringLoop& loop;
  testing::MemoryBlockService service;
  RequestBudget budget;
  FuseServer::Settings settings;
  std::string log;
};

class FuseServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse cannot be used here";
    if (geteuid() != 0) GTEST_SKIP() << "only root mounts without fusermount3";
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
    folder_ = space_.path("mount");
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { EXPECT_TRUE(folder_.empty() || unmount_remains(folder_).ok()); }
  void run(Task<void> (*test)(UringLoop&, const std::string&)) {
    loop_->run(test(*loop_, folder_));
  }
  testing::TemporaryFolder space_;
  std::unique_ptr<UringLoop> loop_;
  std::string folder_;
};

TEST_F(FuseServerTest, OffersTheVolumeAsAFile) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok()) << started.error().message();
    const std::string path = server->addresses().front().name;
    EXPECT_EQ(path, folder + "/volume");
    const int used = co_await bench.client([&] {
      const FileDescriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
      struct stat state {};
      EXPECT_EQ(fstat(fd.get(), &state), 0);
      EXPECT_EQ(state.st_size, static_cast<off_t>(kSize));
      std::vector<char> data(3'000'001, 'v');
      EXPECT_EQ(pwrite(fd.get(), data.data(), data.size(), 4097),
                static_cast<ssize_t>(data.size()));
      EXPECT_EQ(fsync(fd.get()), 0);
      std::vector<char> read(data.size());
      EXPECT_EQ(pread(fd.get(), read.data(), read.size(), 4097), static_cast<ssize_t>(read.size()));
      EXPECT_EQ(data, read);
      EXPECT_EQ(open(path.c_str(), O_RDWR | O_TRUNC | O_CLOEXEC), -1);
      return 1;
    });
    EXPECT_EQ(used, 1);
    EXPECT_GE(bench.service.counts.flushes, 1U);
    co_await server->shutdown();
    EXPECT_FALSE(mount_on(folder));
    EXPECT_TRUE(bench.budget.is_idle());
    EXPECT_EQ(bench.log, "");
  });
}

TEST_F(FuseServerTest, TellsOfANewSizeAtOnce) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok());
    const std::string path = server->addresses().front().name;
    const auto size = [&path] {
      struct stat state {};
      return stat(path.c_str(), &state) == 0 ? static_cast<int>(state.st_size) : -1;
    };
    const int before = co_await bench.client(size);
    EXPECT_EQ(before, static_cast<int>(kSize));
    bench.service.grow(2 * kSize);
    server->size_changed();
    const int after = co_await bench.client(size);
    EXPECT_EQ(after, static_cast<int>(2 * kSize));
    co_await server->shutdown();
  });
}

TEST_F(FuseServerTest, WhoHasTheFileOpenGetsErrorsAfterTheEnd) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok());
    const std::string path = server->addresses().front().name;
    FileDescriptor user;
    const int opened = co_await bench.client([&] {
      user = FileDescriptor(open(path.c_str(), O_RDWR | O_CLOEXEC));
      return user ? 1 : 0;
    });
    EXPECT_EQ(opened, 1);
    EXPECT_EQ(server->clients(), 1U);
    co_await server->shutdown();
    EXPECT_FALSE(mount_on(folder));
    char byte = 0;
    EXPECT_EQ(pread(user.get(), &byte, 1, 0), -1);
    EXPECT_FALSE(std::filesystem::exists(path));
  });
}

TEST_F(FuseServerTest, SaysSoWhenSomebodyElseUnmounts) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    bool is_told = false;
    bench.settings.on_unmounted = [&is_told] { is_told = true; };
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok());
    const int unmounted = co_await bench.client([&] { return umount(folder.c_str()); });
    EXPECT_EQ(unmounted, 0);
    Alarm pause(loop);
    for (int i = 0; i < 2000 && !is_told; ++i) co_await pause.sleep(std::chrono::milliseconds(1));
    EXPECT_TRUE(is_told);
    EXPECT_NE(bench.log.find("no longer mounted"), std::string::npos);
    co_await server->shutdown();
  });
}

TEST_F(FuseServerTest, MakesItsFolderAndRemovesIt) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder + "/a/b");
    bench.settings.makes_folder = true;
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok());
    EXPECT_TRUE(mount_on(folder + "/a/b"));
    co_await server->shutdown();
    EXPECT_FALSE(std::filesystem::exists(folder + "/a/b"));
  });
}

TEST_F(FuseServerTest, ANameThatNoFileCanHaveIsAnError) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    bench.settings.file = "a/b";
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_FALSE(started.ok());
    co_await server->shutdown();
    EXPECT_FALSE(mount_on(folder));
  });
}

TEST_F(FuseServerTest, TheNextServerGoesOnWithoutAnErrorToAnybody) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok());
    if (!server->handover().agreement.can_resend) {
      co_await server->shutdown();
      co_return;  // before Linux 6.9
    }
    const std::string path = server->addresses().front().name;
    std::atomic<bool> is_over = false;
    std::atomic<int> rounds = 0;
    std::atomic<int> failures = 0;
    std::jthread user([&] {
      const FileDescriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
      std::vector<int> data(1024);
      std::vector<int> read(1024);
      for (int round = 1; !is_over; ++round) {
        std::ranges::fill(data, round);
        const off_t at = round % 64 * 4096;
        if (pwrite(fd.get(), data.data(), 4096, at) != 4096) ++failures;
        if (pread(fd.get(), read.data(), 4096, at) != 4096 || read != data) ++failures;
        rounds = round;
      }
    });
    Alarm pause(loop);
    for (int next = 0; next < 5; ++next) {
      const int before = rounds;
      while (rounds < before + 20) co_await pause.sleep(std::chrono::milliseconds(1));
      FuseServer::Handover handover = co_await server->hand_over();
      server = bench.make();
      server->adopt(std::move(handover));
      started = co_await server->start();
      EXPECT_TRUE(started.ok()) << started.error().message();
    }
    const int before = rounds;
    while (rounds < before + 20) co_await pause.sleep(std::chrono::milliseconds(1));
    is_over = true;
    const int joined = co_await bench.client([&user] {
      user.join();
      return 1;
    });
    EXPECT_EQ(joined, 1);
    EXPECT_EQ(failures, 0);
    co_await server->shutdown();
    EXPECT_FALSE(mount_on(folder));
  });
}

TEST_F(FuseServerTest, AMountThatIsGoneCannotBeAdopted) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    const auto server = bench.make();
    server->adopt({FileDescriptor(open("/dev/null", O_RDWR | O_CLOEXEC)), {}});
    Result<void> started = co_await server->start();
    EXPECT_FALSE(started.ok());
    EXPECT_EQ(started.error().code(), Errc::not_found);
    co_await server->shutdown();
  });
}

// ---- the block device

TEST_F(FuseServerTest, ABlockDeviceIsUsedGrowsAndGoes) {
  if (access("/dev/loop-control", R_OK | W_OK) != 0) GTEST_SKIP() << "there are no loop devices";
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    FuseBlockDevice::Settings settings;
    settings.folder = folder + "/device";
    settings.log = bench.settings.log;
    FuseBlockDevice device(loop, bench.service, bench.budget, settings);
    Result<void> started = co_await device.start();
    EXPECT_TRUE(started.ok()) << started.error().message();
    EXPECT_EQ(device.addresses().size(), 1U);
    if (!started.ok()) co_return;
    const std::string path = device.addresses().front().name;
    FileDescriptor user;
    const int used = co_await bench.client([&] {
      user = FileDescriptor(open(path.c_str(), O_RDWR | O_CLOEXEC));
      std::vector<char> data(100'000, 'l');
      EXPECT_EQ(pwrite(user.get(), data.data(), data.size(), 4096),
                static_cast<ssize_t>(data.size()));
      return fsync(user.get());
    });
    EXPECT_EQ(used, 0);
    EXPECT_EQ(bench.service.bytes()[50'000], std::byte{'l'});
    EXPECT_GE(bench.service.counts.flushes, 1U);

    bench.service.grow(2 * kSize);
    device.size_changed();
    Alarm pause(loop);
    off_t size = 0;
    for (int i = 0; i < 2000 && size != static_cast<off_t>(2 * kSize); ++i) {
      size = lseek(user.get(), 0, SEEK_END);
      co_await pause.sleep(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(size, static_cast<off_t>(2 * kSize));

    Result<void> refused = co_await device.detach();
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(device.addresses().size(), 1U) << "it stays";
    user = FileDescriptor();
    Result<void> detached = co_await device.detach();
    EXPECT_TRUE(detached.ok()) << detached.error().message();
    EXPECT_TRUE(device.addresses().empty());
    co_await device.shutdown();
    EXPECT_FALSE(std::filesystem::exists(settings.folder));
    EXPECT_TRUE(bench.budget.is_idle());
    EXPECT_EQ(bench.log, "");
  });
}

TEST_F(FuseServerTest, ABlockDeviceIsNotMadeWhereALivingServerHasItsFolder) {
  run([](UringLoop& loop, const std::string& folder) -> Task<void> {
    MountBench bench(loop, folder);
    const auto server = bench.make();
    Result<void> started = co_await server->start();
    EXPECT_TRUE(started.ok());
    FuseBlockDevice::Settings settings;
    settings.folder = folder;
    FuseBlockDevice device(loop, bench.service, bench.budget, settings);
    Result<void> refused = co_await device.start();
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Errc::busy);
    EXPECT_TRUE(mount_on(folder)) << "the other one is left alone";
    co_await device.shutdown();
    co_await server->shutdown();
  });
}

}  // namespace
}  // namespace uvdo
