// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/flat_map.h"

#include <algorithm>
#include <random>
#include <unordered_map>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(FlatMap, AgreesWithAPlainMapOverRandomChanges) {
  constexpr std::uint64_t kSeed = 20;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  FlatMap<std::uint64_t> map(4);
  std::unordered_map<std::uint64_t, std::uint64_t> model;
  for (std::uint64_t i = 0; i < 200'000; ++i) {
    // Few different keys, so that chains form and are cut in all places.
    const std::uint64_t key = random() % 300 * 1024;
    if (random() % 2 == 0) {
      map.insert(key, i);
      model.try_emplace(key, i);
    } else if (model.erase(key) > 0) {
      map.erase(key);
    }
    ASSERT_EQ(map.size(), model.size());
    const std::uint64_t probe = random() % 300 * 1024;
    const auto* found = map.find(probe);
    const auto expected = model.find(probe);
    ASSERT_EQ(found != nullptr, expected != model.end());
    if (found != nullptr) {
      ASSERT_EQ(*found, expected->second);
    }
  }
}

TEST(FlatMap, VisitsEveryEntryOnce) {
  FlatMap<int> map;
  for (std::uint64_t key = 0; key < 1000; ++key) map.insert(key * 7, static_cast<int>(key));
  std::vector<int> seen(1000);
  map.for_each([&](std::uint64_t key, int value) {
    EXPECT_EQ(key, static_cast<std::uint64_t>(value) * 7);
    ++seen[static_cast<std::size_t>(value)];
  });
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 1000);
}

}  // namespace
}  // namespace uvdo
