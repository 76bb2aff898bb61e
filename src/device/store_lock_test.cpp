// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/store_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/store_name.h"

namespace uvdo {
namespace {

class StoreLockTest : public ::testing::Test {
 protected:
  void TearDown() override { unlink(file_.c_str()); }
  const std::string uri_ = "nbd://lock-test-" + std::to_string(getpid()) + ".example/";
  const std::string file_ = file_of_store(uri_);
};

TEST_F(StoreLockTest, OneWriterOrManyReadersHaveIt) {
  StoreLock writer;
  StoreLock other;
  ASSERT_TRUE(writer.take(uri_, OpenMode::read_write));
  const auto refused = other.take(uri_, OpenMode::read_only);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::busy);
  writer.give_back();
  ASSERT_TRUE(other.take(uri_, OpenMode::read_only));
  EXPECT_TRUE(writer.take(uri_, OpenMode::read_only));
}

TEST_F(StoreLockTest, WhoHasItIsSeenByWhoHadAFileThatWasRemoved) {
  StoreLock first;
  ASSERT_TRUE(first.take(uri_, OpenMode::read_write));
  first.give_back();
  ASSERT_EQ(unlink(file_.c_str()), 0);
  StoreLock second;
  ASSERT_TRUE(second.take(uri_, OpenMode::read_write));
  EXPECT_FALSE(first.take(uri_, OpenMode::read_write));
  second.give_back();
  EXPECT_TRUE(first.take(uri_, OpenMode::read_write));
}

}  // namespace
}  // namespace uvdo
