// SPDX-License-Identifier: GPL-2.0-or-later
// The two forms of a list of the volume index: as it is coded on storage (index.md, 7), and as
// it lies in memory, cut into 16 short lists. Each of these has the entries of a sixteenth of the
// addresses, coded as on storage from the begin of a byte on, keys counted from the first address
// of its own; their 16 lengths in bytes stand in front. Whole lists go from one form to the other
// here; volume_sub_index.h finds and changes single entries.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "format/index_geometry.h"
#include "index/bit_string.h"

namespace uvdo {

inline constexpr std::uint32_t kShortLists = 16;
inline constexpr std::uint32_t kShortListHead = kShortLists;  ///< bytes in front of the entries
/// Its length is one byte of the head.
inline constexpr std::uint32_t kMaxShortListBytes = 255;

/// How the entries of an index are coded.
struct ListCoding {
  DeltaCode code;
  unsigned chapter_bits = 0;
  unsigned short_key_bits = 0;  ///< of an address, within a short list
  std::uint64_t chapter_mask = 0;

  explicit ListCoding(const SubIndexGeometry& geometry)
      : code(geometry.code),
        chapter_bits(geometry.chapter_bits),
        // The upper four bits of an address say which of the 16 short lists it is in.
        short_key_bits(geometry.address_bits - 4),
        chapter_mask(low_bits(geometry.chapter_bits)) {}

  /// Bits that every entry has.
  [[nodiscard]] std::uint64_t fixed_bits() const { return chapter_bits + code.minimum_bits; }
  /// The payload of the entry that begins at bit `at`.
  [[nodiscard]] std::uint64_t chapter_at(const std::byte* bits, std::uint64_t at) const {
    return load_bits(bits, at) & chapter_mask;
  }
};

/// What the bits behind the chapter of an entry say.
struct DecodedDelta {
  std::uint64_t delta = 0;
  std::uint64_t bits = 0;   ///< that it takes
  std::uint64_t zeros = 0;  ///< kEndless if no one bit ends it: it is no entry of these lists
  static constexpr std::uint64_t kEndless = 63;
};

/// Decodes the delta at bit `at` without a branch: what comes next is not known before.
[[gnu::always_inline]] inline DecodedDelta decode_delta(const DeltaCode& code,
                                                        const std::byte* bits, std::uint64_t at) {
  const std::uint64_t word = load_bits(bits, at);
  const std::uint64_t low = word & low_bits(code.minimum_bits);
  // A mask for what only long deltas have: zeros, and the one bit that ends them.
  const std::uint64_t is_long = low < code.short_values ? 0 : ~std::uint64_t{0};
  const std::uint64_t rest = word >> code.minimum_bits | 1ULL << DecodedDelta::kEndless;
  const std::uint64_t zeros = static_cast<std::uint64_t>(std::countr_zero(rest)) & is_long;
  return {low + zeros * code.values_per_bit, code.minimum_bits + zeros - is_long, zeros};
}

/// Bits [begin, end) of `bits`, with kBitSlack bytes behind them.
struct CodedList {
  const std::byte* bits = nullptr;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// A list in the form of memory.
struct CutList {
  /// With room for what is written beyond the end.
  std::array<std::byte, kShortListHead + kShortLists * kMaxShortListBytes + 64> bytes;
  std::uint32_t size = 0;
  std::uint32_t entries = 0;

  [[nodiscard]] std::span<const std::byte> used() const { return std::span(bytes).first(size); }
};

/// Which code does the work; all do the same. Tests ask for that of any processor.
enum class CodeFor : std::uint8_t { this_processor, any_processor };

/// Cuts two lists, in much less time than one after the other; bit 0 of the answer is set if the
/// first was cut, bit 1 if the second was. What is not plain is not: lists that are malformed, have
/// collision entries, or more entries at an address than its short list can take.
unsigned cut_lists(const ListCoding& coding, const CodedList& first, const CodedList& second,
                   CutList& first_cut, CutList& second_cut,
                   CodeFor processor = CodeFor::this_processor);

/// What join_lists() has made.
struct JoinedList {
  std::uint64_t bits = 0;
  std::uint64_t entries = 0;
  std::uint64_t oldest_age = 0;  ///< 0 if there are no entries
};

/// No list in the form of memory takes more bytes on storage; the slack is not counted.
inline constexpr std::uint64_t kMaxJoinedBytes = kShortLists * (kMaxShortListBytes + 16);

/// Codes `list`, in the form of memory, as on storage. Entries of chapters more than `max_age`
/// before `newest` are left out. `to` has room for kMaxJoinedBytes and 64 more.
JoinedList join_lists(const ListCoding& coding, const std::byte* list, std::uint64_t newest,
                      std::uint64_t max_age, std::byte* to,
                      CodeFor processor = CodeFor::this_processor);

}  // namespace uvdo
