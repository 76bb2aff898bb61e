// SPDX-License-Identifier: GPL-2.0-or-later
// The content of a simulated disk: sparse, and copied in constant time. Copies share their pages
// until one of them is written to, so that one history can be crashed in many ways.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

/// A fast hash of `bytes` (a multiple of 64), by which the simulation compares contents.
[[nodiscard]] std::uint64_t hash_content(ConstBytes bytes);

class SparseImage {
 public:
  /// `size` bytes of zeros.
  explicit SparseImage(std::uint64_t size);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// The range must lie within size().
  void read(std::uint64_t offset, MutableBytes out) const;
  void write(std::uint64_t offset, ConstBytes data);
  /// Whether something has been written to every 4 KiB page of the range.
  [[nodiscard]] bool is_written(std::uint64_t offset, std::uint64_t length) const;
  /// The first byte at or after `offset` of a page that was written to, at most `limit`.
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) const;

  /// A hash of the content: equal for equal bytes, whether zeros were written or never touched.
  /// Only what changed since the last call (in any copy) is hashed again.
  [[nodiscard]] std::uint64_t hash() const;
  /// Bytes of the pages that have been written to.
  [[nodiscard]] std::uint64_t allocated() const;

  /// Writes the content to a sparse file, for tools that read files.
  [[nodiscard]] Result<void> save(const std::string& path) const;
  /// The content of a file; ranges of zeros take no memory.
  static Result<SparseImage> load(const std::string& path);

 private:
  static constexpr std::size_t kPageSize = 4096;
  static constexpr std::size_t kFanout = 128;
  // A hash is right while it is marked so; of what is shared it is computed once for all.
  struct Page {
    std::array<std::byte, kPageSize> bytes;
    std::uint64_t hash;
    bool hashed;
  };
  struct Leaf {
    std::array<std::shared_ptr<Page>, kFanout> pages;
    std::uint64_t hash = 0;
    bool hashed = false;
  };
  struct Branch {
    std::array<std::shared_ptr<Leaf>, kFanout> leaves;
    std::uint64_t hash = 0;
    bool hashed = false;
  };

  /// nullptr of one that was never written to: it is all zeros.
  [[nodiscard]] const Page* find(std::uint64_t page) const;
  /// The page as this image's own; its old bytes are lost if it will be written as a whole.
  Page& page_to_write(std::uint64_t page, bool whole);
  template <class Visitor>
  void for_each_page(Visitor&& visit) const;

  std::uint64_t size_;
  std::vector<std::shared_ptr<Branch>> branches_;
};

}  // namespace uvdo
