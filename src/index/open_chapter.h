// SPDX-License-Identifier: GPL-2.0-or-later
// A chapter in memory: the open one, which takes records, or a closed one until it is written
// (uds-index.md, 11).
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "index/page_memory.h"
#include "index/record_page.h"

namespace uvdo {

class OpenChapter {
 public:
  /// An empty chapter for `capacity` records.
  explicit OpenChapter(std::uint32_t capacity);

  /// Its virtual chapter number.
  std::uint64_t number = 0;

  [[nodiscard]] bool is_full() const { return size_ == capacity_; }
  [[nodiscard]] std::uint32_t size() const { return size_; }
  /// In order of arrival.
  [[nodiscard]] std::span<const IndexRecord> records() const { return {records(0), size_}; }

  void prefetch(const RecordName& name) const { __builtin_prefetch(&slots_[slot_of(name)]); }
  [[nodiscard]] const IndexData* find(const RecordName& name) const;
  /// Adds a record, or replaces the data of a name. The chapter is not full.
  void put(const RecordName& name, const IndexData& data);
  void clear();

  /// The saved form: a header, then the records.
  static constexpr std::size_t kSavedHeaderSize = 14;
  void encode_header(MutableBytes header) const;
  /// The number of records that follow a saved header; nothing if it is none, or if they are more
  /// than `capacity`.
  static std::optional<std::uint32_t> decode_header(ConstBytes header, std::uint32_t capacity);

 private:
  [[nodiscard]] IndexRecord* records(std::uint32_t i) const {
    return reinterpret_cast<IndexRecord*>(memory_.data()) + i;
  }
  [[nodiscard]] std::size_t slot_of(const RecordName& name) const {
    return static_cast<std::size_t>(name.hash() * 0x9E3779B97F4A7C15U >> slot_shift_);
  }

  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  unsigned slot_shift_;
  PageMemory memory_;
  std::vector<std::uint32_t> slots_;  // 1 + the number of a record, or 0
};

}  // namespace uvdo
