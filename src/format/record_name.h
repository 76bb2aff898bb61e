// SPDX-License-Identifier: GPL-2.0-or-later
// The record name: the hash under which the deduplication index knows a data block
// (volume.md, 8). Equal names make blocks candidates, never more: the data are compared.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/bytes.h"

namespace uvdo {

/// The seed of the hash that names data blocks.
inline constexpr std::uint32_t kRecordNameSeed = 0x62EA60BE;

struct RecordName {
  std::array<std::byte, 16> bytes{};

  friend auto operator<=>(const RecordName&, const RecordName&) = default;
  /// 64 bits that are as good as random, for hash tables.
  [[nodiscard]] constexpr std::uint64_t hash() const { return load_le64(bytes.data() + 8); }
};

/// The name of the 4096 bytes at `block`.
[[nodiscard]] RecordName record_name_of(const std::byte* block);

/// The names of several blocks of 4096 bytes, into out[0 .. blocks.size()).
void record_names_of(std::span<const std::byte* const> blocks, RecordName* out);

}  // namespace uvdo

template <>
struct std::hash<uvdo::RecordName> {
  std::size_t operator()(const uvdo::RecordName& name) const noexcept {
    return static_cast<std::size_t>(name.hash());
  }
};
