// SPDX-License-Identifier: GPL-2.0-or-later
// A chapter in memory: the open one, which takes records, or a closed one until it is written
// (index.md, 11).
#pragma once

#include <optional>
#include <span>

#include "base/page_memory.h"
#include "index/record_page.h"

namespace uvdo {

/// Records in the order of arrival, and a hash table of twice as many slots at least. Nothing is
/// taken out again; a name that comes again keeps its record and gets the new data.
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
  /// A slot holds 1 + the number of a record, and above that some bits of the name's hash, so that
  /// seldom a record is looked at for nothing. 0 is free.
  /// 262144 records, the most that a chapter has, have numbers of 19 bits (1 + the last one).
  static constexpr unsigned kNumberBits = 19;
  [[nodiscard]] static std::uint64_t hash_of(const RecordName& name) {
    return name.hash() * 0x9E3779B97F4A7C15U;
  }
  [[nodiscard]] std::size_t slot_of(const RecordName& name) const {
    return static_cast<std::size_t>(hash_of(name) >> slot_shift_);
  }
  [[nodiscard]] static std::uint32_t tag_of(const RecordName& name) {
    return static_cast<std::uint32_t>(hash_of(name) >> 8U) << kNumberBits;
  }
  /// The record in a slot if its tag is that of the name; nullptr otherwise.
  [[nodiscard]] IndexRecord* candidate(std::uint32_t slot, std::uint32_t tag) const {
    if ((slot ^ tag) >> kNumberBits != 0) return nullptr;
    return records((slot & ((1U << kNumberBits) - 1)) - 1);
  }

  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  unsigned slot_shift_;
  // The records, one behind the other, and the hash table.
  PageMemory memory_;
  PageMemory slot_memory_;  // touched only when the chapter is used
  std::span<std::uint32_t> slots_;
};

}  // namespace uvdo
