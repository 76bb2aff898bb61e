// SPDX-License-Identifier: GPL-2.0-or-later
// What a front end (NBD, ublk, FUSE) sees of a volume: a block device of bytes. A served volume is
// one; tests of front ends use a small one in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "async/buffer_pool.h"
#include "async/task.h"
#include "base/bytes.h"
#include "base/result.h"
#include "device/device.h"

namespace uvdo {

/// What a range of the logical device holds.
enum class ExtentKind : std::uint8_t {
  hole,  ///< never written or discarded: reads as zeros, takes no space
  zero,  ///< written as zeros: reads as zeros, takes no data block
  data,
};

struct Extent {
  std::uint64_t length = 0;  ///< bytes
  ExtentKind kind = ExtentKind::hole;
};

/// How zeros are written.
enum class ZeroMode : std::uint8_t {
  punch,   ///< as a hole
  mapped,  ///< so that the range counts as written (it still takes no data block)
};

/// All of it runs on the volume's thread. Requests may overlap in time and in range; only a flush
/// orders them: what was answered before it was asked for is stable when it returns. `out` and the
/// service outlive each call. What a request that has returned an error has left of its range is
/// unknown, block by block: old or new.
class BlockService {
 public:
  BlockService() = default;
  BlockService(const BlockService&) = delete;
  BlockService& operator=(const BlockService&) = delete;
  virtual ~BlockService() = default;

  /// Bytes; may grow while the volume is in use.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Whether writes, discards and zeros are refused with Errc::read_only. May come to be so while
  /// the volume is in use.
  [[nodiscard]] virtual bool is_read_only() const = 0;
  /// Whether that is because of an error: then writes get that, and not "not permitted".
  [[nodiscard]] virtual bool has_failed() const { return false; }
  /// Where the data of writes comes from. While it is refusing, writes would fail with no_space.
  virtual BufferPool& buffers() = 0;

  // All offsets and lengths are bytes, of any alignment. A range beyond size() is
  // Errc::out_of_range.

  /// Fills `out` (of any size; fastest if its address and `offset` are multiples of 4096).
  virtual Task<Result<void>> read(std::uint64_t offset, MutableBytes out) = 0;
  /// Writes a buffer of this service's pool. Returns when the write may be acknowledged: with
  /// Durability::cached that is before it is stable, but reads already see it; with fua it is
  /// stable. Errc::no_space, Errc::read_only or Errc::io otherwise, and then nothing of a block
  /// or all of it has been written.
  virtual Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) = 0;
  /// The range reads as zeros, and whole blocks of it take no space any more. Of a block that the
  /// range covers in part that part becomes zeros (behaviour.md, 5.6).
  virtual Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                                     Durability durability) = 0;
  /// Writes zeros, which take no data blocks whatever the mode.
  virtual Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                          Durability durability) = 0;
  /// Makes every write that was answered before this call stable.
  virtual Task<Result<void>> flush() = 0;
  /// What [offset, offset + length) holds, in order, at most `limit` extents (at least one): they
  /// may cover less than `length` (the caller asks again), never more.
  virtual Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                                    std::size_t limit) = 0;
};

}  // namespace uvdo
