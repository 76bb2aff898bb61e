// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file_lock.h"

#include <array>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace uvdo {
namespace {

struct TemporaryFile {
  std::array<char, 64> path{"/tmp/uvdo-lock-test.XXXXXX"};
  int first = mkstemp(path.data());
  int second = open(path.data(), O_RDWR | O_CLOEXEC);
  ~TemporaryFile() {
    if (first >= 0) close(first);
    close(second);
    unlink(path.data());
  }
};

TEST(FileLock, IsWaitedForWhileItsHolderEnds) {
  TemporaryFile file;
  ASSERT_TRUE(lock_file(file.first, false));
  std::thread holder([&file] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    close(file.first);
    file.first = -1;
  });
  EXPECT_TRUE(lock_file(file.second, false));
  holder.join();
}

TEST(FileLock, ManyAreWaitedForNoLongerThanOne) {
  const LockPatience patience(std::chrono::milliseconds(1));
  EXPECT_FALSE(patience.take([] { return false; }));
  int asked = 0;
  EXPECT_FALSE(patience.take([&] { return ++asked > 1; }));
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(patience.take([] { return true; }));
}

TEST(FileLock, OfSomebodyWhoGoesOnIsGivenUp) {
  TemporaryFile file;
  ASSERT_TRUE(lock_file(file.first, true));
  EXPECT_TRUE(lock_file(file.second, true));
  EXPECT_FALSE(lock_file(file.second, false));
}

}  // namespace
}  // namespace uvdo
