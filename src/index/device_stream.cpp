// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/device_stream.h"

#include <algorithm>
#include <cstring>

namespace uvdo {

Task<Result<void>> StreamWriter::drain() {
  // What is left of the last block waits for the bytes that complete it.
  const std::size_t whole = filled_ / kBlockSize * kBlockSize;
  if (whole > end_ - offset_) {
    co_return Error(Errc::out_of_range, "the saved index does not fit into its space");
  }
  if (whole > 0) {
    auto written = co_await device_.write(offset_, {buffer_.data(), whole});
    if (!written) co_return std::move(written).error();
  }
  std::memmove(buffer_.data(), buffer_.data() + whole, filled_ - whole);
  filled_ -= whole;
  drained_ += whole;
  offset_ += whole;
  co_return Result<void>{};
}

Task<Result<void>> StreamWriter::finish() {
  const std::size_t used = filled_ % kBlockSize;
  if (used != 0) {
    std::byte* padding = append(kBlockSize - used);
    std::memset(padding, 0, kBlockSize - used);
  }
  auto drained = co_await drain();
  co_return drained;
}

Task<Result<void>> StreamReader::require(std::size_t size) {
  if (has(size)) co_return Result<void>{};
  // What is left moves down to just below a block boundary, so that reads are aligned in memory.
  const std::size_t left = end_of_data_ - at_;
  const std::size_t base = (left + kBlockSize - 1) / kBlockSize * kBlockSize;
  std::memmove(buffer_.data() + (base - left), buffer_.data() + at_, left);
  at_ = base - left;
  end_of_data_ = base;
  while (!has(size)) {
    // The run is whole blocks long, and so is each piece.
    const std::uint64_t length = std::min<std::uint64_t>(kPiece, end_ - offset_);
    if (length == 0 || end_of_data_ + length > buffer_.size()) {
      co_return Error(Errc::corrupt, "the saved index ends too early");
    }
    auto read = co_await device_.read(offset_, {buffer_.data() + end_of_data_, length});
    if (!read) co_return std::move(read).error();
    offset_ += length;
    end_of_data_ += length;
  }
  co_return Result<void>{};
}

}  // namespace uvdo
