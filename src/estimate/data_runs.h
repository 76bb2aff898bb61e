// SPDX-License-Identifier: GPL-2.0-or-later
// Which blocks of a file are data, and which are holes.
#pragma once

#include <cstdint>
#include <functional>

#include <sys/stat.h>
#include <sys/types.h>

namespace uvdo {

/// lseek() of a file with SEEK_DATA or SEEK_HOLE: the place, or -1 and errno.
using SeekFile = std::function<off_t(off_t from, int whence)>;

/// Of an open file, which must stay open as long.
[[nodiscard]] SeekFile seek_in(int fd);

/// Bytes of whole blocks, in which something may be data; none if begin and end are the same.
struct DataRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The next run of data from byte `from` on, where a block begins, of a file whose last block ends
/// at `end`; an empty one at `end` if there is no more. All is data where nobody can tell.
[[nodiscard]] DataRun next_data_run(const SeekFile& seek, std::uint64_t from, std::uint64_t end);

/// Bytes of all runs of data.
[[nodiscard]] std::uint64_t data_bytes(const SeekFile& seek, std::uint64_t end);
/// The same of a file of which that is known. `seek` is asked only where there may be holes.
[[nodiscard]] std::uint64_t data_bytes(const struct stat& file, const SeekFile& seek);

}  // namespace uvdo
