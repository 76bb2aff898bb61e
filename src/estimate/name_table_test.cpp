// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/name_table.h"

#include <gtest/gtest.h>

#include "estimate/packing_model.h"

namespace uvdo {
namespace {

using Verdict = NameTable::Verdict;

RecordName name_of(std::uint64_t number) {
  RecordName name;
  // Spread as those of data are.
  store_le64(name.bytes.data(), number * 0x9E3779B97F4A7C15U);
  store_le64(name.bytes.data() + 8, (number + 1) * 0xC2B2AE3D27D4EB4FU);
  return name;
}

TEST(NameTable, KnowsWhatWasWritten) {
  NameTable table(1000, {});
  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(table.write(name_of(i)).verdict, Verdict::stored) << i;
  }
  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(table.write(name_of(i)).verdict, Verdict::duplicate) << i;
  }
}

TEST(NameTable, StoresABlockAgainThatHas254References) {
  NameTable table(10, {});
  unsigned stored = 0;
  for (unsigned i = 0; i < 254 * 3; ++i) {
    if (table.write(name_of(1)).verdict == Verdict::stored) ++stored;
  }
  EXPECT_EQ(stored, 3U);
  EXPECT_EQ(table.write(name_of(1)).verdict, Verdict::stored);
}

TEST(NameTable, FragmentsOfABinShareItsReferences) {
  NameTable table(10, {});
  table.write(name_of(1));
  table.write(name_of(2));
  table.place_in_bin(name_of(1), 0);
  table.place_in_bin(name_of(2), 0);
  for (unsigned i = 2; i < 254; ++i) {
    ASSERT_EQ(table.write(name_of(1 + i % 2)).verdict, Verdict::duplicate) << i;
  }
  EXPECT_EQ(table.write(name_of(1)).verdict, Verdict::stored);
  EXPECT_EQ(table.write(name_of(2)).verdict, Verdict::stored);
}

TEST(NameTable, ForgetsWhatIsBehindTheWindow) {
  // Two chapters of three names each.
  NameTable table(100, {2, 3});
  table.write(name_of(0));
  for (std::uint64_t i = 1; i < 5; ++i) table.write(name_of(i));
  // In the chapter before the open one: found, and remembered anew.
  EXPECT_EQ(table.write(name_of(0)).verdict, Verdict::duplicate);
  EXPECT_EQ(table.records(), 6U);
  EXPECT_EQ(table.write(name_of(1)).verdict, Verdict::stored) << "two chapters ago";
  EXPECT_EQ(table.write(name_of(0)).verdict, Verdict::duplicate);
}

TEST(NameTable, SaysThatItIsFull) {
  NameTable table(1, {});
  bool is_full = false;
  for (std::uint64_t i = 0; i < 1000000 && !is_full; ++i) {
    is_full = table.write(name_of(i)).verdict == Verdict::no_room;
  }
  EXPECT_TRUE(is_full);
}

TEST(NameTable, KeepsRoomForShortSearchesAndKnowsWhatItHas) {
  NameTable table(1, {});
  std::uint64_t kept = 0;
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < 200000; ++i) {
    ++(table.write(name_of(i)).verdict == Verdict::stored ? kept : refused);
  }
  // 256 slots in each of 256 shards, of which a sixteenth stays free.
  EXPECT_EQ(kept, 240U * 256);
  EXPECT_EQ(refused, 200000 - kept);
  EXPECT_EQ(table.records(), kept);
  EXPECT_EQ(table.write(name_of(0)).verdict, Verdict::duplicate);
}

TEST(NameTable, CountsNoReferencesOfBinsBeyondItsRoom) {
  NameTable table(1, {});
  constexpr std::uint32_t kBeyond = 1U << 30U;
  for (std::uint64_t i = 0; i < 2; ++i) {
    table.write(name_of(i));
    table.wait_in_packer(name_of(i), 1000);
    table.place_in_bin(name_of(i), kBeyond);
  }
  for (unsigned i = 1; i < 254; ++i) {
    ASSERT_EQ(table.write(name_of(0)).verdict, Verdict::duplicate) << i;
  }
  EXPECT_EQ(table.write(name_of(0)).verdict, Verdict::stored);
  EXPECT_EQ(table.write(name_of(1)).verdict, Verdict::duplicate) << "it counts its own";
}

TEST(PackingModel, FillsBinsWithTheLargestThatFit) {
  NameTable table(100, {});
  PackingModel packing(&table, 100);
  std::uint64_t number = 0;
  for (const std::size_t size : {3000U, 2000U, 1000U, 2060U, 60U}) {
    table.write(name_of(number));
    packing.add(name_of(number++), size);
  }
  EXPECT_EQ(packing.bins(), 0U);
  packing.flush();
  // 3000 + 1000 + 60, and 2060 + 2000.
  EXPECT_EQ(packing.bins(), 2U);
  EXPECT_EQ(packing.fragments(), 5U);
  EXPECT_EQ(packing.fragment_bytes(), 8120U);
  EXPECT_EQ(packing.alone(), 0U);
}

TEST(PackingModel, MakesABinOfThoseThatAreTooMany) {
  NameTable table(100, {});
  PackingModel packing(&table, 4);
  for (std::uint64_t i = 0; i < 4; ++i) {
    table.write(name_of(i));
    packing.add(name_of(i), 2030);
  }
  EXPECT_EQ(packing.bins(), 1U);
  packing.flush();
  EXPECT_EQ(packing.bins(), 2U);
}

TEST(PackingModel, OneFragmentAloneStaysWhole) {
  NameTable table(100, {});
  PackingModel packing(&table, 100);
  table.write(name_of(1));
  packing.add(name_of(1), 4000);
  packing.flush();
  EXPECT_EQ(packing.bins(), 0U);
  EXPECT_EQ(packing.alone(), 1U);
  EXPECT_EQ(table.write(name_of(1)).verdict, Verdict::duplicate);
}

TEST(PackingModel, HasWhatIsWantedComeOutFirst) {
  NameTable table(100, {});
  PackingModel packing(&table, 100);
  for (std::uint64_t i = 0; i < 3; ++i) {
    table.write(name_of(i));
    packing.add(name_of(i), 1000 + 1000 * i);
  }
  const NameTable::Outcome outcome = table.write(name_of(1));
  ASSERT_EQ(outcome.verdict, Verdict::wanted);
  EXPECT_EQ(outcome.waiting_size, 2000U);
  packing.hurry(name_of(1), outcome.waiting_size);
  EXPECT_EQ(packing.bins(), 1U);
  EXPECT_EQ(packing.fragment_bytes(), 3000U) << "2000 and 1000: 3000 does not fit";
  EXPECT_EQ(table.write(name_of(1)).verdict, Verdict::duplicate) << "it waits no more";
  packing.hurry(name_of(1), outcome.waiting_size);
  EXPECT_EQ(packing.bins(), 1U);
}

}  // namespace
}  // namespace uvdo
