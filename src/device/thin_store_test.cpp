// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/thin_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "device/open_device.h"

namespace uvdo {
namespace {

TEST(ThinStore, IsASparseFileAndNoneThatHasAllOfItsRoom) {
  constexpr off_t kMiB = 1 << 20;
  std::string path = "/tmp/uvdo-thin.XXXXXX";
  const FileDescriptor fd(mkstemp(path.data()));
  ASSERT_TRUE(fd);
  ASSERT_EQ(ftruncate(fd.get(), kMiB), 0);
  {
    auto store = open_blocking_device(path, OpenMode::read_only);
    ASSERT_TRUE(store.ok());
    EXPECT_TRUE(is_thin(**store));
  }
  const bool can = posix_fallocate(fd.get(), 0, kMiB) == 0;
  auto store = open_blocking_device(path, OpenMode::read_only);
  unlink(path.c_str());
  ASSERT_TRUE(store.ok());
  if (!can) GTEST_SKIP() << "/tmp cannot preallocate";
  EXPECT_FALSE(is_thin(**store));
}

}  // namespace
}  // namespace uvdo
