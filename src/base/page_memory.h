// SPDX-License-Identifier: GPL-2.0-or-later
// Page-aligned zeroed memory that the system gives as it is touched: for large tables, and for
// buffers of direct I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "base/bytes.h"

namespace uvdo {

class PageMemory {
 public:
  PageMemory() = default;
  /// Memory of `size` bytes and some readable and writable slack behind.
  explicit PageMemory(std::uint64_t size);
  /// The same; nothing if the system does not give so much.
  [[nodiscard]] static std::optional<PageMemory> try_take(std::uint64_t size);
  PageMemory(PageMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  PageMemory& operator=(PageMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PageMemory();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] MutableBytes bytes() const { return {data_, size_}; }
  explicit operator bool() const { return data_ != nullptr; }
  /// Lets the system use huge pages: faster, but memory is taken in pieces of 2 MiB.
  void allow_huge_pages() const;

 private:
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace uvdo
