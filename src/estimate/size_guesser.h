// SPDX-License-Identifier: GPL-2.0-or-later
// How far blocks that are not compressed would shrink: as those of their kind that were compressed
// last, nearby.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace uvdo {

/// Of one thread, as what is near by is what it has read itself.
class SizeGuesser {
 public:
  /// Blocks of one kind have about as many different bytes.
  using Kind = std::size_t;
  [[nodiscard]] static Kind kind_of(const std::byte* block);

  /// A block of that kind has shrunk to `size` bytes; 0: it does not shrink.
  void learn(Kind kind, std::size_t size);
  /// The size of one that was compressed. Each of the last ones is taken as often as the others.
  /// Nothing: none of that kind was.
  [[nodiscard]] std::optional<std::size_t> guess(Kind kind);

 private:
  struct Learned {
    std::vector<std::uint16_t> sizes;
    std::size_t oldest = 0;
    std::size_t next = 0;
  };
  // Up to 189 of 256 bytes differ, of noise; more are of the last kind.
  static constexpr std::size_t kKinds = 8;
  std::array<Learned, kKinds> kinds_;
};

}  // namespace uvdo
