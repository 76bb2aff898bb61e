// SPDX-License-Identifier: GPL-2.0-or-later
// The content of blocks in the simulation: a block is a function of a small number, so that a model
// can remember thousands of them, and tell what it sees in words.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "async/sim_random.h"
#include "base/block_types.h"
#include "base/bytes.h"

namespace uvdo::sim {

inline constexpr std::array<std::byte, kBlockSize> kZeroBlock{};

enum class ContentKind : std::uint8_t {
  zero,
  unique,             ///< random bytes
  compressible,       ///< a third of a block when compressed
  very_compressible,  ///< a few dozen bytes when compressed
  near_duplicate,     ///< `unique` of the same number but for one byte
  colliding,          ///< the record name of the number beside it (2 n, 2 n + 1), but other data
};

/// Names a block's content: its kind and a number.
struct ContentId {
  ContentKind kind = ContentKind::zero;
  std::uint32_t number = 0;
  friend bool operator==(const ContentId&, const ContentId&) = default;
};

/// Writes the content of `id` into `block` (4096 bytes).
void fill_block(ContentId id, MutableBytes block);
/// "unique #17".
[[nodiscard]] std::string describe(ContentId id);

/// What a block may hold: a generated content, or the bytes that a partial write left. Compared by
/// hash alone: what two different blocks of one hash would hide is left to chance.
class Value {
 public:
  /// A block of zeros.
  Value();
  explicit Value(ContentId id);
  explicit Value(ConstBytes block);
  /// The bytes of this value with `part` written over them at `offset`.
  [[nodiscard]] Value overlaid(std::size_t offset, ConstBytes part) const;

  /// Equal for equal bytes.
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  void copy_to(MutableBytes block) const;
  [[nodiscard]] bool is_zero() const;
  [[nodiscard]] std::string describe() const;
  friend bool operator==(const Value& a, const Value& b) { return a.hash_ == b.hash_; }

 private:
  ContentId id_;
  std::uint64_t hash_;
  std::shared_ptr<const std::array<std::byte, kBlockSize>> bytes_;  // null if `id_` says it all
};

/// How often each kind of content comes, as parts of a whole.
struct ContentMix {
  std::uint32_t zero = 5;
  std::uint32_t unique = 30;
  std::uint32_t duplicate = 25;  ///< one of `duplicates` contents that come again and again
  std::uint32_t compressible = 20;
  std::uint32_t very_compressible = 10;
  std::uint32_t near_duplicate = 10;
  std::uint32_t duplicates = 16;
  std::uint32_t copy = 0;  ///< one of two contents that can be compressed
  std::uint32_t colliding = 0;
};

/// Deals out contents by a mix.
/// Numbers of unique contents go up and never come again; those of duplicates are few.
class ContentSource {
 public:
  explicit ContentSource(ContentMix mix) : mix_(mix) {}
  ContentId next(SimRandom& random);

 private:
  ContentMix mix_;
  std::uint32_t last_number_ = 1000;
};

}  // namespace uvdo::sim
