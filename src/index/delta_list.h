// SPDX-License-Identifier: GPL-2.0-or-later
// Delta lists: sorted keys with payloads, each key coded as the distance to the one before it
// (index.md, 7). Readers accept any bytes: a list that is not well-formed ends in `malformed`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "format/index_geometry.h"
#include "format/record_name.h"
#include "index/bit_string.h"

namespace uvdo {

/// No list on storage is longer (index.md, 7.3).
inline constexpr std::uint64_t kMaxDeltaListBits = 65535;
inline constexpr unsigned kNameBits = 128;

/// The bits that the code of `delta` takes.
/// As index.md, 7.3 has it: m + (n - k + d) / n.
constexpr std::uint64_t coded_bits(const DeltaCode& code, std::uint64_t delta) {
  return code.minimum_bits +
         (code.values_per_bit - code.short_values + delta) / code.values_per_bit;
}

/// The code of an entry without its name.
struct EntryCode {
  std::uint64_t bits = 0;  ///< of more than kPutAtOnce only those that every entry has
  std::uint64_t size = 0;  ///< bits
};
/// Deltas have at most 32 bits.
/// The payload, the delta's low part above it, and, of a long delta, the one bit that ends its
/// zeros.
inline EntryCode code_entry(const DeltaCode& code, unsigned payload_bits, std::uint64_t payload,
                            std::uint64_t delta) {
  const std::uint64_t fixed = payload_bits + code.minimum_bits;
  // A short delta takes the fewest bits that there are, and no zeros.
  if (delta < code.short_values) return {payload | delta << payload_bits, fixed};
  // Half the width, because a division takes half the time then.
  const auto over = static_cast<std::uint32_t>(delta - code.short_values);
  const std::uint64_t low = over % code.values_per_bit + code.short_values;
  const std::uint64_t size = fixed + over / code.values_per_bit + 1;
  const std::uint64_t last = size <= kPutAtOnce ? std::uint64_t{1} << (size - 1) : 0;
  return {payload | low << payload_bits | last, size};
}

/// Appends an entry without its name.
inline void put_entry(BitWriter& writer, const DeltaCode& code, unsigned payload_bits,
                      std::uint64_t payload, std::uint64_t delta) {
  const EntryCode entry = code_entry(code, payload_bits, payload, delta);
  if (entry.size <= kPutAtOnce) {
    writer.put(entry.bits, static_cast<unsigned>(entry.size));
    return;
  }
  const unsigned fixed = payload_bits + code.minimum_bits;
  writer.put(entry.bits, fixed);
  writer.put_zeros(entry.size - fixed - 1);
  writer.put(1, 1);
}

/// One entry of a list.
struct DeltaEntry {
  std::uint64_t key = 0;
  std::uint64_t payload = 0;
  bool is_collision = false;  ///< it stands for `name` alone
  RecordName name;            ///< of a collision entry
};

/// Walks over a list, which may be anything.
class DeltaListReader {
 public:
  enum class Step : std::uint8_t { entry, end, malformed };

  /// The list is bits [begin, end) of `bits`, which go on for kBitSlack bytes behind it.
  DeltaListReader(const std::byte* bits, std::uint64_t begin, std::uint64_t end,
                  const DeltaCode& code, unsigned payload_bits)
      : bits_(bits),
        begin_(begin),
        at_(begin),
        end_(end),
        code_(code),
        payload_bits_(payload_bits) {}

  Step next(DeltaEntry& entry) {
    if (at_ == end_) return Step::end;
    if (end_ - at_ < payload_bits_ + code_.minimum_bits) return Step::malformed;
    entry.payload = load_bits(bits_, at_) & low_bits(payload_bits_);
    // All is checked against the end of the list before it is believed: an entry cannot reach
    // beyond it.
    std::uint64_t at = at_ + payload_bits_;
    std::uint64_t word = load_bits(bits_, at);
    std::uint64_t delta = word & low_bits(code_.minimum_bits);
    at += code_.minimum_bits;
    if (delta >= code_.short_values) {
      const std::optional<std::uint64_t> zeros = count_zeros(at);
      if (!zeros) return Step::malformed;
      delta += *zeros * code_.values_per_bit;
      at += *zeros + 1;
    }
    // index.md, 7.3: of the first entry a delta of 0 says only that its key is 0.
    entry.is_collision = delta == 0 && at_ != begin_;
    if (entry.is_collision) {
      if (end_ - at < kNameBits) return Step::malformed;
      for (std::byte& byte : entry.name.bytes) {
        byte = static_cast<std::byte>(load_bits(bits_, at));
        at += 8;
      }
    }
    key_ += delta;
    entry.key = key_;
    at_ = at;
    return Step::entry;
  }

 private:
  /// Zeros from bit `at` on up to the next one bit, which lies within the list.
  [[nodiscard]] std::optional<std::uint64_t> count_zeros(std::uint64_t at) const {
    std::uint64_t zeros = 0;
    while (at + zeros < end_) {
      const std::uint64_t word = load_bits(bits_, at + zeros) & low_bits(kBitsAtOnce);
      if (word != 0) {
        zeros += static_cast<std::uint64_t>(std::countr_zero(word));
        if (at + zeros >= end_) return std::nullopt;
        return zeros;
      }
      zeros += kBitsAtOnce;
    }
    return std::nullopt;
  }

  const std::byte* bits_;
  std::uint64_t begin_;
  std::uint64_t at_;
  std::uint64_t end_;
  DeltaCode code_;
  unsigned payload_bits_;
  std::uint64_t key_ = 0;
};

/// Whether two names are equal, in two words.
inline bool same_name(const RecordName& a, const RecordName& b) {
  return ((detail::load_word(a.bytes.data()) ^ detail::load_word(b.bytes.data())) |
          (detail::load_word(a.bytes.data() + 8) ^ detail::load_word(b.bytes.data() + 8))) == 0;
}

/// What a search finds (index.md, 7.4).
struct DeltaMatch {
  std::uint64_t payload = 0;
  bool is_collision = false;  ///< the entry is certainly that of the name
};

/// The entry of `key` and `name`; nothing if there is none, or if the list is not well-formed.
inline std::optional<DeltaMatch> find_in_delta_list(DeltaListReader list, std::uint64_t key,
                                                    const RecordName& name) {
  DeltaEntry entry;
  std::optional<DeltaMatch> plain;
  // Keys ascend: behind the key there is nothing of it.
  while (list.next(entry) == DeltaListReader::Step::entry && entry.key <= key) {
    if (entry.key < key) continue;
    // The plain entry is the answer unless a collision entry behind it has the whole name.
    if (!entry.is_collision) {
      plain = DeltaMatch{entry.payload, false};
    } else if (same_name(entry.name, name)) {
      return DeltaMatch{entry.payload, true};
    }
  }
  return plain;
}

}  // namespace uvdo
