// SPDX-License-Identifier: GPL-2.0-or-later
// Data for benchmarks: blocks that only a number decides, made at the cost of a copy.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace uvdo {

enum class Pattern : std::uint8_t {
  unique,        ///< nothing that LZ4 could shrink
  compressible,  ///< LZ4 makes a bit less than half of it
  zeros,
};

class BlockPatterns {
 public:
  BlockPatterns();
  /// Fills `blocks`, whole blocks, with the data of the numbers id, id + 1, ...
  void fill(MutableBytes blocks, Pattern pattern, std::uint64_t id) const;

 private:
  std::vector<std::byte> noise_;
};

}  // namespace uvdo
