// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/memory_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace uvdo {
namespace {

TEST(MemoryFile, IsThereForWhoeverHasItsDescriptor) {
  FileDescriptor kept;
  {
    auto made = MemoryFile::create("test", 8192);
    ASSERT_TRUE(made.ok()) << made.error().message();
    made->bytes()[4097] = std::byte{7};
    kept = FileDescriptor(dup(made->descriptor().get()));
  }
  auto found = MemoryFile::adopt(std::move(kept));
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->bytes().size(), 8192U);
  EXPECT_EQ(found->bytes()[4097], std::byte{7});
  EXPECT_NE(ftruncate(found->descriptor().get(), 4096), 0) << "its pages cannot be taken away";
}

TEST(MemoryFile, ThatCouldBeCutOffIsRefused) {
  FileDescriptor unsealed(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), 4096), 0);
  EXPECT_FALSE(MemoryFile::adopt(std::move(unsealed)).ok());
  EXPECT_FALSE(MemoryFile::adopt(FileDescriptor(open("/dev/null", O_RDWR | O_CLOEXEC))).ok());
}

}  // namespace
}  // namespace uvdo
