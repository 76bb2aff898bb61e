// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/data_runs.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace uvdo {
namespace {

/// A file whose data are in those ranges, as a file system of small blocks tells of it.
SeekFile file_with(std::vector<std::pair<off_t, off_t>> ranges, off_t size) {
  return [ranges = std::move(ranges), size](off_t from, int whence) -> off_t {
    if (from >= size) {
      errno = ENXIO;
      return -1;
    }
    for (const auto& [begin, end] : ranges) {
      if (from >= end) continue;
      if (whence == SEEK_DATA) return std::max(from, begin);
      if (from < begin) return from;
      return end;
    }
    if (whence == SEEK_HOLE) return from;
    errno = ENXIO;
    return -1;
  };
}

TEST(DataRuns, AHoleBeforeDataOfTheSameBlockHidesNoOther) {
  const SeekFile seek = file_with({{1024, 2048}, {1 << 20, (1 << 20) + 1024}}, 1 << 30);
  DataRun run = next_data_run(seek, 0, 1 << 30);
  EXPECT_EQ(run.begin, 0U);
  EXPECT_EQ(run.end, 4096U);
  run = next_data_run(seek, run.end, 1 << 30);
  EXPECT_EQ(run.begin, 1U << 20);
  EXPECT_EQ(run.end, (1U << 20) + 4096);
  run = next_data_run(seek, run.end, 1 << 30);
  EXPECT_EQ(run.begin, run.end);
  EXPECT_EQ(data_bytes(seek, 1 << 30), 8192U);
}

TEST(DataRuns, TwoRunsInABlockAreOne) {
  EXPECT_EQ(data_bytes(file_with({{0, 1024}, {2048, 3072}, {7168, 8192}}, 8192), 8192), 8192U);
}

TEST(DataRuns, WhereNobodyCanTellAllIsData) {
  const SeekFile seek = [](off_t, int) -> off_t {
    errno = EINVAL;
    return -1;
  };
  EXPECT_EQ(data_bytes(seek, 40960), 40960U);
}

TEST(DataRuns, WhatAFileSystemCompressesCountsWithAllItsBytes) {
  struct stat file {};
  file.st_size = 1 << 20;
  file.st_blocks = 8;
  EXPECT_EQ(data_bytes(file, file_with({{0, 1 << 20}}, 1 << 20)), 1U << 20);
  EXPECT_EQ(data_bytes(file, file_with({{4096, 8192}}, 1 << 20)), 4096U);
}

TEST(DataRuns, AFileThatTakesAllItsRoomIsNotAskedForHoles) {
  struct stat file {};
  file.st_size = 5000;
  file.st_blocks = 16;
  EXPECT_EQ(data_bytes(file, file_with({}, 5000)), 8192U);
}

TEST(DataRuns, DataToTheEndOfAFileEndWithItsLastBlock) {
  EXPECT_EQ(data_bytes(file_with({{0, 5000}}, 5000), 8192), 8192U);
  EXPECT_EQ(data_bytes(file_with({}, 1 << 20), 1 << 20), 0U);
}

}  // namespace
}  // namespace uvdo
