// SPDX-License-Identifier: GPL-2.0-or-later
// Record names for tests and benchmarks of the index: as evenly spread as those of real data, each
// made of a number, so that a test can name again what it has recorded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "format/record_name.h"
#include "index/dedupe_index.h"

namespace uvdo::test {

inline RecordName numbered_name(std::uint64_t number) {
  RecordName name;
  std::uint64_t x = number + 1;
  for (std::byte* p = name.bytes.data(); p < name.bytes.data() + 16; p += 8) {
    x = (x ^ x >> 31U) * 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 29U) * 0xBF58476D1CE4E5B9U;
    x ^= x >> 32U;
    store_be64(p, x);
  }
  return name;
}

/// What is recorded under the name of the number: advice that names a block of its own.
inline IndexData numbered_data(std::uint64_t number) {
  IndexData data{};
  store_u8(data.data(), 2);      // the version of advice
  store_u8(data.data() + 1, 1);  // a whole block
  store_le64(data.data() + 2, number + 1);
  return data;
}

}  // namespace uvdo::test
