// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/collision_table.h"

#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace uvdo {
namespace {

RecordName name_of(std::uint64_t number) {
  RecordName name;
  store_le64(name.bytes.data(), number);
  return name;
}

std::uint64_t number_of(const CollisionTable::Entry& entry) {
  return load_le64(entry.name.bytes.data());
}

TEST(CollisionTable, HoldsWhatAModelHolds) {
  constexpr std::size_t kCapacity = 500;
  CollisionTable table(kCapacity);
  std::multimap<std::uint64_t, std::uint64_t> model;
  std::mt19937_64 random(3);
  for (std::uint64_t i = 0; i < 200000; ++i) {
    const std::uint64_t key = random() % 200;
    if (random() % 2 == 0) {
      const bool fits = table.insert(key, name_of(i), i);
      ASSERT_EQ(fits, model.size() < kCapacity);
      if (fits) model.emplace(key, i);
    } else if (CollisionTable::Entry* entry = table.find(key, [](const auto&) { return true; })) {
      auto [first, last] = model.equal_range(key);
      while (first != last && first->second != entry->chapter) ++first;
      ASSERT_NE(first, last);
      ASSERT_EQ(number_of(*entry), entry->chapter);
      model.erase(first);
      table.erase(*entry);
    } else {
      ASSERT_EQ(model.count(key), 0U);
    }
    ASSERT_EQ(table.size(), model.size());
  }
  std::set<std::uint64_t> left;
  for (const auto& [key, number] : model) left.insert(number);
  table.for_each([&](CollisionTable::Entry& entry) {
    EXPECT_EQ(left.erase(number_of(entry)), 1U);
    table.erase(entry);
  });
  EXPECT_TRUE(left.empty());
  EXPECT_TRUE(table.empty());
}

}  // namespace
}  // namespace uvdo
