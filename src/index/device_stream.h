// SPDX-License-Identifier: GPL-2.0-or-later
// Streams of bytes to and from a run of blocks of a device, in large pieces.
#pragma once

#include <cstdint>

#include "async/task.h"
#include "base/block_types.h"
#include "base/page_memory.h"
#include "device/device.h"

namespace uvdo {

/// Writes a run of blocks from its start. Bytes are appended without waiting as long as
/// `needs_drain()` is false, and never beyond the end of the run: then the stream fails.
/// Used by one writer, from beginning to end. Nothing is flushed.
class StreamWriter {
 public:
  static constexpr std::size_t kPiece = std::size_t{1} << 20U;
  /// No single append() may be larger.
  static constexpr std::size_t kMaxAppend = std::size_t{1} << 17U;

  StreamWriter(Device& device, std::uint64_t first_block, std::uint64_t blocks)
      : device_(device),
        offset_(first_block * kBlockSize),
        end_(offset_ + blocks * kBlockSize),
        buffer_(kPiece + kMaxAppend) {}

  /// The place of the next `size` bytes, which the caller fills.
  std::byte* append(std::size_t size) {
    std::byte* at = buffer_.data() + filled_;
    filled_ += size;
    return at;
  }
  void append(ConstBytes bytes) { std::copy(bytes.begin(), bytes.end(), append(bytes.size())); }
  [[nodiscard]] bool needs_drain() const { return filled_ >= kPiece; }
  /// Bytes appended so far.
  [[nodiscard]] std::uint64_t position() const { return drained_ + filled_; }
  /// Writes out whole blocks.
  Task<Result<void>> drain();
  /// Writes out all, the last block filled up with zeros.
  Task<Result<void>> finish();

 private:
  Device& device_;
  std::uint64_t offset_;
  std::uint64_t end_;
  PageMemory buffer_;
  std::size_t filled_ = 0;
  std::uint64_t drained_ = 0;
};

/// Reads a run of blocks from its start.
/// As long as has() is true a caller needs no coroutine: that is what makes millions of small
/// pieces cheap.
class StreamReader {
 public:
  static constexpr std::size_t kPiece = std::size_t{1} << 20U;
  /// No single require() may be larger.
  static constexpr std::size_t kMaxRequire = std::size_t{1} << 17U;

  StreamReader(Device& device, std::uint64_t first_block, std::uint64_t blocks)
      : device_(device),
        offset_(first_block * kBlockSize),
        end_(offset_ + blocks * kBlockSize),
        buffer_(kPiece + kMaxRequire + kBlockSize) {}

  /// Whether `size` bytes are at hand.
  [[nodiscard]] bool has(std::size_t size) const { return end_of_data_ - at_ >= size; }
  /// Reads on until has(size) is true; Errc::corrupt if the run ends before.
  Task<Result<void>> require(std::size_t size);
  /// The bytes at hand, with slack for load_bits() behind them.
  [[nodiscard]] ConstBytes bytes() const { return {buffer_.data() + at_, end_of_data_ - at_}; }
  void consume(std::size_t size) { at_ += size; }

 private:
  Device& device_;
  std::uint64_t offset_;
  std::uint64_t end_;
  PageMemory buffer_;
  std::size_t at_ = 0;
  std::size_t end_of_data_ = 0;
};

}  // namespace uvdo
