// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_state.h"

#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20U;

BackingState file_with(std::uint64_t allocated) {
  BackingState state;
  state.is_file = true;
  state.allocated = allocated;
  return state;
}

TEST(BackingStore, WhatIsWrittenTakesTheRoomOfItsHoles) {
  // 40 of 100 MiB are there; of the 10 that are written 7 are a hole.
  const PlannedWrites writes{10 * kMiB, 7 * kMiB, 60 * kMiB, 100 * kMiB};
  EXPECT_EQ(room_for(writes, file_with(40 * kMiB)), 7 * kMiB);
}

TEST(BackingStore, WhatWasPreallocatedHasItsRoomAlthoughItIsAHole) {
  const PlannedWrites writes{10 * kMiB, 7 * kMiB, 60 * kMiB, 100 * kMiB};
  EXPECT_EQ(room_for(writes, file_with(100 * kMiB)), 0U);
  EXPECT_EQ(room_for(writes, file_with(101 * kMiB)), 0U) << "with what the file system adds";
  EXPECT_EQ(room_for(writes, file_with(98 * kMiB)), 2 * kMiB);
}

TEST(BackingStore, WhereHolesAreNotToldNothingIsTakenForAllocated) {
  const PlannedWrites writes{10 * kMiB, 0, 0, 100 * kMiB};
  EXPECT_EQ(room_for(writes, file_with(40 * kMiB)), 10 * kMiB);
  EXPECT_EQ(room_for(writes, file_with(96 * kMiB)), 4 * kMiB) << "more than the file can take";
  EXPECT_EQ(room_for(writes, file_with(100 * kMiB)), 0U);
}

TEST(BackingStore, HolesThatAreNotToldMayBeAnywhere) {
  const PlannedWrites writes{10 * kMiB, 3 * kMiB, 58 * kMiB, 100 * kMiB};
  EXPECT_EQ(room_for(writes, file_with(40 * kMiB)), 5 * kMiB);
}

TEST(BackingStore, ADeviceTakesNothingOfAFileSystem) {
  EXPECT_EQ(room_for({10 * kMiB, 0, 0, 100 * kMiB}, BackingState()), 0U);
}

TEST(BackingStore, PreallocatedHolesOfAFileAreKnown) {
  std::string path = "/tmp/uvdo-backing-store.XXXXXX";
  const FileDescriptor fd(mkstemp(path.data()));
  ASSERT_TRUE(fd);
  unlink(path.c_str());
  ASSERT_EQ(ftruncate(fd.get(), 4 * kMiB), 0);
  auto holes = hole_bytes(fd.get(), kMiB, 2 * kMiB);
  ASSERT_TRUE(holes.ok());
  if (*holes == 0) GTEST_SKIP() << "/tmp does not tell where its holes are";
  EXPECT_EQ(*holes, 2 * kMiB);
  auto state = look_at_backing_store(fd.get(), path);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(room_for({kMiB, kMiB, 4 * kMiB, 4 * kMiB}, *state), kMiB);
  if (fallocate(fd.get(), 0, 0, 4 * kMiB) != 0) GTEST_SKIP() << "/tmp cannot preallocate";
  state = look_at_backing_store(fd.get(), path);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(room_for({kMiB, kMiB, 4 * kMiB, 4 * kMiB}, *state), 0U);
}

TEST(BackingStore, RootOfAnotherUserNamespaceMayNotUseWhatIsKeptForRoot) {
  EXPECT_TRUE(is_first_user_namespace("         0          0 4294967295"));
  EXPECT_FALSE(is_first_user_namespace("         0       1000          1"));
  EXPECT_FALSE(is_first_user_namespace("         0          0      65536"));
  EXPECT_FALSE(is_first_user_namespace(""));
}

}  // namespace
}  // namespace uvdo
