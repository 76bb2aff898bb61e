// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/storage_lock.h"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "base/file_lock.h"
#include "device/storage_user.h"
#include "device/testing/made_up_machine.h"

namespace uvdo {
namespace {

using Mode = StorageLock::Mode;

FileDescriptor open_file(const std::string& path) {
  return FileDescriptor(open(path.c_str(), O_RDWR | O_CLOEXEC));
}

TEST(StorageLock, ReadersAreManyAndAWriterIsAlone) {
  testing::MadeUpMachine machine;
  const std::string path = machine.make_file("v.img");
  const FileDescriptor first = open_file(path);
  const FileDescriptor second = open_file(path);
  {
    auto one = StorageLock::take(first.get(), path, Mode::shared, machine.map());
    ASSERT_TRUE(one);
    ASSERT_EQ(one->storages().size(), 1U);
    EXPECT_EQ(one->storages()[0].id, machine.id_of("v.img"));
    EXPECT_TRUE(StorageLock::take(second.get(), path, Mode::shared, machine.map()));
  }
}

TEST(StorageLock, ItsBytesAreThoseOfTheStorageAndNotOfAName) {
  testing::MadeUpMachine machine;
  const std::string path = machine.make_file("v.img");
  const FileDescriptor whole = open_file(path);
  ASSERT_TRUE(lock_range(whole.get(), 1000, 500, false));
  const FileDescriptor other = open_file(path);
  EXPECT_TRUE(lock_range(other.get(), 1500, StorageRange::kToTheEnd, false));
  EXPECT_TRUE(lock_range(other.get(), 0, 1000, false));
  EXPECT_FALSE(lock_range(other.get(), 1499, 1, true));
}

/// As long as it lives, files are opened with the rights of nobody.
class RightsOfNobody {
 public:
  RightsOfNobody() : was_root_(geteuid() == 0) {
    if (was_root_ && seteuid(65534) != 0) std::abort();
  }
  RightsOfNobody(const RightsOfNobody&) = delete;
  RightsOfNobody& operator=(const RightsOfNobody&) = delete;
  ~RightsOfNobody() {
    if (was_root_ && seteuid(0) != 0) std::abort();
  }

 private:
  bool was_root_;
};

TEST(StorageLock, WhatLiesBeneathAndMayOnlyBeReadIsForOneWriter) {
  namespace fs = std::filesystem;
  testing::MadeUpMachine machine;
  const std::string path = machine.make_file("v.img");
  fs::permissions(machine.path(""), fs::perms{0711});
  fs::permissions(path, fs::perms{0444});
  const RightsOfNobody rights;
  const LockPatience none{std::chrono::seconds(0)};
  const StorageRange all{machine.id_of("v.img"), path, 0, StorageRange::kToTheEnd,
                         StorageRange::Share::exact};
  FileDescriptor writer;
  FileDescriptor other;
  ASSERT_TRUE(lock_storage(all, Mode::exclusive, none, writer));
  ASSERT_TRUE(writer);
  EXPECT_FALSE(lock_storage(all, Mode::exclusive, none, other));
  EXPECT_FALSE(lock_storage(all, Mode::shared, none, other));
  writer = FileDescriptor();
  FileDescriptor reader;
  EXPECT_TRUE(lock_storage(all, Mode::shared, none, reader));
  EXPECT_TRUE(lock_storage(all, Mode::shared, none, other));
  EXPECT_FALSE(lock_storage(all, Mode::exclusive, none, writer));
}

/// A process that holds the lock of a file until it is killed.
class Holder {
 public:
  explicit Holder(const std::string& path) {
    std::array<int, 2> ready{};
    if (pipe(ready.data()) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
      const char done = lock_file(fd, false) && lock_range(fd, 0, UINT64_MAX, false) ? 'y' : 'n';
      [[maybe_unused]] const auto told = write(ready[1], &done, 1);
      while (true) pause();
    }
    char answer = 0;
    [[maybe_unused]] const auto got = read(ready[0], &answer, 1);
    close(ready[0]);
    close(ready[1]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { end(); }
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

TEST(StorageLock, TheUserIsNamedWithItsCommand) {
  testing::MadeUpMachine machine;
  const std::string path = machine.make_file("v.img");
  Holder holder(path);
  const std::string user = user_of(machine.id_of("v.img"));
  EXPECT_NE(user.find("process " + std::to_string(holder.pid())), std::string::npos) << user;
  EXPECT_NE(user.find("test_device"), std::string::npos) << user;
  const StorageRange storage{machine.id_of("v.img"), path, 0, StorageRange::kToTheEnd,
                             StorageRange::Share::exact};
  const Error error = storage_in_use("/dev/loop7", storage, machine.map());
  EXPECT_EQ(error.code(), Errc::busy);
  EXPECT_EQ(error.message(),
            "/dev/loop7 is in use by " + user + ", by way of " + path + "; stop that first");
  EXPECT_TRUE(is_locked_by_others(storage));
  holder.end();
  EXPECT_FALSE(is_locked_by_others(storage));
  EXPECT_EQ(user_of(machine.id_of("v.img")), "");
}

TEST(StorageLock, EndsWithItsProcess) {
  testing::MadeUpMachine machine;
  const std::string path = machine.make_file("v.img");
  Holder holder(path);
  std::thread killer([&holder] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    holder.end();
  });
  const FileDescriptor fd = open_file(path);
  const auto lock = StorageLock::take(fd.get(), path, Mode::exclusive, machine.map());
  killer.join();
  EXPECT_TRUE(lock) << lock.error().message();
}

}  // namespace
}  // namespace uvdo
