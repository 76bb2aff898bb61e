// SPDX-License-Identifier: GPL-2.0-or-later
// The record of who has a volume, on the volume's own storage (docs/decisions/023): one sector of a
// block that belongs to no slab, which neither uvdo's engine nor dm-vdo reads or writes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "format/uuid.h"

namespace uvdo {

/// What it says changes at least every fifth part of a lease as long as its owner lives.
struct OwnerRecord {
  enum class State : std::uint8_t {
    free = 1,      ///< nobody has the volume: the last owner has ended well
    claimed = 2,   ///< somebody wants it, and sees whether others do
    held = 3,      ///< somebody has it
    elsewhere = 4  ///< the record is at `next_place`, as the volume has grown
  };
  State state = State::free;
  std::uint32_t lease_seconds = 0;
  std::uint64_t generation = 0;  ///< one more with each claim
  std::uint64_t beat = 0;        ///< one more with each renewal
  Uuid owner{};                  ///< of one opening of the volume
  Uuid boot{};                   ///< of the machine it is on, since that was started
  std::uint32_t process = 0;
  std::string host;              ///< 64 bytes at most
  std::uint64_t next_place = 0;  ///< byte of the store

  [[nodiscard]] std::chrono::nanoseconds lease() const {
    return std::chrono::seconds(lease_seconds);
  }
  friend bool operator==(const OwnerRecord&, const OwnerRecord&) = default;
};

inline constexpr std::uint32_t kShortestLease = 5;  ///< seconds
inline constexpr std::uint32_t kLongestLease = 3600;

/// Fills the 4096 bytes of `block`; what counts is in its first sector, which is written whole or
/// not at all. `nonce` is the volume's.
void encode_owner_record(const OwnerRecord& record, std::uint64_t nonce, MutableBytes block);
/// Nothing: there is none of the volume with this nonce. corrupt: it is damaged.
Result<std::optional<OwnerRecord>> decode_owner_record(ConstBytes block, std::uint64_t nonce);

}  // namespace uvdo
