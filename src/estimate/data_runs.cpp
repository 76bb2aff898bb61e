// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/data_runs.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "base/block_types.h"

namespace uvdo {

SeekFile seek_in(int fd) {
  return [fd](off_t from, int whence) { return lseek(fd, from, whence); };
}

DataRun next_data_run(const SeekFile& seek, std::uint64_t from, std::uint64_t end) {
  if (from >= end) return {end, end};
  const off_t data = seek(static_cast<off_t>(from), SEEK_DATA);
  // ENXIO: there is nothing more.
  if (data < 0) return errno == ENXIO ? DataRun{end, end} : DataRun{from, end};
  const std::uint64_t begin =
      std::min(end, std::max(from, static_cast<std::uint64_t>(data) / kBlockSize * kBlockSize));
  // From the data on: before them, in the same block, there may be a hole.
  const off_t hole = seek(data, SEEK_HOLE);
  if (hole <= data) return {begin, end};
  const std::uint64_t behind = (static_cast<std::uint64_t>(hole) + kBlockSize - 1) / kBlockSize;
  return {begin, std::min(end, behind * kBlockSize)};
}

std::uint64_t data_bytes(const SeekFile& seek, std::uint64_t end) {
  std::uint64_t sum = 0;
  for (DataRun run = next_data_run(seek, 0, end); run.begin < run.end;
       run = next_data_run(seek, run.end, end)) {
    sum += run.end - run.begin;
  }
  return sum;
}

std::uint64_t data_bytes(const struct stat& file, const SeekFile& seek) {
  const auto size = static_cast<std::uint64_t>(file.st_size);
  const std::uint64_t end = (size + kBlockSize - 1) / kBlockSize * kBlockSize;
  // What takes less room than it has bytes has holes, is compressed, or is not yet written.
  if (static_cast<std::uint64_t>(file.st_blocks) * 512 >= end) return end;
  return data_bytes(seek, end);
}

}  // namespace uvdo
