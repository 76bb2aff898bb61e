// SPDX-License-Identifier: GPL-2.0-or-later
// For tests only: reads the blocks of real volumes that tests/data/format/extract.py picked, with
// the values that the script read in them; and makes random bytes from a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/block_types.h"
#include "base/bytes.h"

namespace uvdo::test {

using Block = std::vector<std::byte>;

struct FixtureBlock {
  std::string kind;
  std::map<std::string, std::string> values;
  Block bytes;
  /// The value of a key, which has to be there.
  [[nodiscard]] std::uint64_t number(const std::string& key) const {
    return std::stoull(values.at(key));
  }
  /// Numbers with commas between them.
  [[nodiscard]] std::vector<std::uint64_t> list(const std::string& key) const {
    std::vector<std::uint64_t> numbers;
    std::istringstream in(values.at(key));
    for (std::string word; std::getline(in, word, ',');) numbers.push_back(std::stoull(word));
    return numbers;
  }
};

/// All blocks of a volume; empty if the fixture is missing.
inline std::vector<FixtureBlock> load_fixture(const std::string& volume) {
  const std::string base = std::string(UVDO_SOURCE_DIR) + "/tests/data/format/" + volume;
  std::ifstream text(base + ".txt");
  std::ifstream blocks(base + ".blocks", std::ios::binary);
  std::vector<FixtureBlock> all;
  // A line a block: its kind, and words KEY=VALUE.
  for (std::string line; std::getline(text, line);) {
    FixtureBlock block;
    std::istringstream words(line);
    words >> block.kind;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      block.values[word.substr(0, equals)] = word.substr(equals + 1);
    }
    block.bytes.resize(kBlockSize);
    blocks.read(reinterpret_cast<char*>(block.bytes.data()), kBlockSize);
    all.push_back(std::move(block));
  }
  return all;
}

/// The names of all fixtures.
inline const std::vector<std::string>& volumes() {
  static const std::vector<std::string> names{
      "clean",          "compressed",   "dirty",       "dirty-entries",          "dirty-wrap",
      "fresh-memory05", "fresh-slab13", "fresh-slab9", "fresh-slab19-logical1T", "fresh-sparse",
      "grown",          "readonly"};
  return names;
}

// The same bytes for the same state of `random`.
inline void fill_random(MutableBytes bytes, std::mt19937_64& random) {
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
}
inline Block random_block(std::mt19937_64& random) {
  Block block(kBlockSize);
  fill_random(block, random);
  return block;
}

/// Every seed of these tests, so that a failure can be run again.
inline constexpr std::uint64_t kSeed = 20240607;

}  // namespace uvdo::test
