// SPDX-License-Identifier: GPL-2.0-or-later
// Recovery journal blocks: what is appended is read again, and what damage leaves is counted right.
#include "format/recovery_journal_block.h"

#include <gtest/gtest.h>

#include "format/test_fixture.h"

namespace uvdo {
namespace {

using test::Block;

constexpr std::uint64_t kNonce = 99;
constexpr std::uint64_t kJournalSize = 32768;

JournalBlockHeader header_of(std::uint16_t entries) {
  JournalBlockHeader header;
  header.block_map_head = JournalSequence{40000};
  header.slab_journal_head = JournalSequence{40001};
  header.sequence = JournalSequence{70000};
  header.nonce = kNonce;
  header.entry_count = entries;
  header.logical_blocks_used = 0x1122334455667788;
  header.block_map_blocks = 0x99AABBCCDDEEFF00;
  header.check_byte = check_byte_of(header.sequence, kJournalSize);
  header.recovery_count = 250;
  return header;
}

JournalEntry random_entry(std::mt19937_64& random) {
  return {
      random() % 2 == 0 ? JournalOperation::data_remapping : JournalOperation::block_map_remapping,
      Pbn{random() >> 28U},
      static_cast<std::uint16_t>(random() % 812),
      {Pbn{random() >> 28U}, static_cast<std::uint8_t>(random() % 16)},
      {Pbn{random() >> 28U}, static_cast<std::uint8_t>(random() % 16)}};
}

/// A block with n entries, and the entries.
std::pair<Block, std::vector<JournalEntry>> block_with(std::uint16_t n, std::mt19937_64& random) {
  const JournalBlockHeader header = header_of(n);
  Block block(kBlockSize, std::byte{0x5A});
  open_journal_block(block, header_of(0));
  std::vector<JournalEntry> entries;
  for (unsigned i = 0; i < n; ++i) {
    entries.push_back(random_entry(random));
    append_journal_entry(block, i, entries.back(), header.check_byte, header.recovery_count);
  }
  set_journal_header_heads_and_count(block, header.block_map_head, header.slab_journal_head, n);
  return {block, entries};
}

static_assert(check_byte_of(JournalSequence{1}, 32768) == 0x80);
static_assert(check_byte_of(JournalSequence{32768}, 32768) == 0x81);
static_assert(check_byte_of(JournalSequence{32768ULL * 128}, 32768) == 0x80);

TEST(JournalEntry, HasTheDocumentedBits) {
  std::array<std::byte, 16> bytes{};
  encode_journal_entry({JournalOperation::block_map_remapping, Pbn{0xB12345678}, 811,
                        mapped_to(Pbn{0xC00000001}), kUnmapped},
                       bytes.data());
  EXPECT_EQ(load_le16(bytes.data()), 1U | 811U << 2U | 0xBU << 12U);
  EXPECT_EQ(load_le32(bytes.data() + 2), 0x12345678U);
  EXPECT_EQ(load_u8(bytes.data() + 6), 0xC1);
  EXPECT_EQ(load_le32(bytes.data() + 7), 1U);
  EXPECT_EQ(load_u8(bytes.data() + 11), 0);
}

TEST(JournalBlock, ARunIsWhatItsEntriesWouldBeOneByOne) {
  std::mt19937_64 random(test::kSeed);
  for (unsigned index = 0; index < kEntriesPerBlock; index += 7) {
    Block singly(kBlockSize, std::byte{0x5A});
    open_journal_block(singly, header_of(0));
    Block run = singly;
    JournalEntry entry = random_entry(random);
    entry.slot = 100;
    std::vector<BlockMapping> old(1 + random() % (kEntriesPerBlock - index));
    for (std::size_t i = 0; i < old.size(); ++i) {
      old[i] = random_entry(random).old_mapping;
      entry.slot = static_cast<std::uint16_t>(100 + i);
      entry.old_mapping = old[i];
      append_journal_entry(singly, index + static_cast<unsigned>(i), entry, 0x81, 3);
    }
    entry.slot = 100;
    append_journal_run(run, index, entry, old, 0x81, 3);
    EXPECT_EQ(run, singly) << index;
  }
}

TEST(JournalBlock, GivesBackWhatWasAppendedAtEveryLength) {
  std::mt19937_64 random(test::kSeed);
  for (std::uint16_t n = 0; n <= kEntriesPerBlock; ++n) {
    const auto [block, entries] = block_with(n, random);
    const JournalBlockHeader header = decode_journal_header(block);
    EXPECT_EQ(header, header_of(n));
    const UsableEntries usable = usable_journal_entries(block, header);
    EXPECT_EQ(usable.count, n);
    EXPECT_EQ(usable.whole, n == kEntriesPerBlock);
    for (unsigned i = 0; i < n; ++i) EXPECT_EQ(journal_entry(block, i), entries[i]);
    std::vector<unsigned> rebuilt;
    for_each_rebuild_entry(block, header, [&](unsigned i) { rebuilt.push_back(i); });
    EXPECT_EQ(rebuilt.size(), n);
    for (unsigned sector = 1 + (n + 30U) / 31U; sector <= kEntrySectors; ++sector) {
      EXPECT_FALSE(journal_sector(block, header, sector).counts) << "never reached";
    }
  }
}

TEST(JournalBlock, CountsOnlyInItsLifeAndPlace) {
  const JournalBlockHeader good = header_of(217);
  const auto taken = [](const JournalBlockHeader& h) {
    return counts(h, kNonce, 250, kJournalSize, 70000 % kJournalSize);
  };
  EXPECT_TRUE(taken(good));
  const auto changed = [&](auto change) {
    JournalBlockHeader h = good;
    change(h);
    return taken(h);
  };
  EXPECT_FALSE(changed([](auto& h) { h.nonce = 98; }));
  EXPECT_FALSE(changed([](auto& h) { h.recovery_count = 249; }));
  EXPECT_FALSE(changed([](auto& h) { h.sequence += 1; }));
  EXPECT_TRUE(changed([](auto& h) { h.sequence += 32768; }));
  EXPECT_FALSE(changed([](auto& h) { h.entry_count = 218; }));
  EXPECT_TRUE(changed([](auto& h) { h.type = 1, h.entry_count = 311; }));
  EXPECT_FALSE(changed([](auto& h) { h.type = 1, h.entry_count = 312; }));
  EXPECT_FALSE(changed([](auto& h) { h.type = 2; }));
}

TEST(JournalBlock, IsUsedUpToTheFirstTornSector) {
  std::mt19937_64 random(test::kSeed);
  const auto [block, entries] = block_with(kEntriesPerBlock, random);
  const JournalBlockHeader header = decode_journal_header(block);
  for (unsigned sector = 1; sector <= kEntrySectors; ++sector) {
    for (const std::size_t field : {0U, 1U, 2U}) {
      Block torn = block;
      torn[kSectorSize * sector + field] ^= std::byte{0xE0};
      const UsableEntries usable = usable_journal_entries(torn, header);
      EXPECT_EQ(usable.count, 31 * (sector - 1)) << sector << " field " << field;
      EXPECT_FALSE(usable.whole);
      unsigned rebuilt = 0;
      for_each_rebuild_entry(torn, header, [&](unsigned i) {
        EXPECT_NE(i / 31 + 1, sector);
        ++rebuilt;
      });
      EXPECT_EQ(rebuilt, 217U - 31U);
    }
    // An older version of the sector: fewer entries than the header says.
    Block stale = block;
    stale[kSectorSize * sector + 2] = std::byte{12};
    EXPECT_EQ(usable_journal_entries(stale, header).count, 31 * (sector - 1) + 12);
    EXPECT_FALSE(usable_journal_entries(stale, header).whole);
  }
}

TEST(JournalBlock, TakesNoMoreEntriesThanItsHeaderSays) {
  std::mt19937_64 random(test::kSeed);
  const auto [block, entries] = block_with(100, random);
  JournalBlockHeader header = decode_journal_header(block);
  header.entry_count = 40;
  EXPECT_EQ(usable_journal_entries(block, header).count, 40);
  header.entry_count = 150;
  EXPECT_EQ(usable_journal_entries(block, header).count, 100);
  EXPECT_FALSE(usable_journal_entries(block, header).whole);
}

SlabLayout slabs_at_1000() {
  SlabDepotState depot;
  depot.slab = make_slab_config(8192).value();
  depot.first_block = Pbn{1000};
  depot.last_block = Pbn{1000 + 3 * 8192};
  return SlabLayout(depot);
}

TEST(JournalEntry, IsValidOnlyWhenRecoveryMayApplyIt) {
  const SlabLayout slabs = slabs_at_1000();
  const JournalEntry data{JournalOperation::data_remapping, Pbn{2000}, 811,
                          mapped_to_fragment(Pbn{1001}, 3), mapped_to(Pbn{1000})};
  const JournalEntry map{JournalOperation::block_map_remapping, Pbn{2000}, 0, mapped_to(Pbn{1001}),
                         kUnmapped};
  const auto valid = [&](JournalEntry e, auto change) {
    change(e);
    return is_valid(e, 30000, slabs);
  };
  EXPECT_TRUE(valid(data, [](auto&) {}));
  EXPECT_TRUE(valid(data, [](auto& e) { e.new_mapping = kMappedZero; }));
  EXPECT_TRUE(valid(data, [](auto& e) { e.new_mapping = kUnmapped; }));
  EXPECT_FALSE(valid(data, [](auto& e) { e.page_pbn = Pbn{30000}; }));
  EXPECT_FALSE(valid(data, [](auto& e) { e.slot = 812; }));
  EXPECT_FALSE(valid(data, [](auto& e) { e.new_mapping.pbn = Pbn{999}; }));
  EXPECT_FALSE(valid(data, [](auto& e) { e.old_mapping.pbn = Pbn{1000 + 7966}; }));
  EXPECT_FALSE(valid(data, [](auto& e) { e.old_mapping.state = 0; }));
  EXPECT_FALSE(valid(data, [](auto& e) { e.operation = static_cast<JournalOperation>(2); }));
  EXPECT_TRUE(valid(map, [](auto&) {}));
  EXPECT_FALSE(valid(map, [](auto& e) { e.new_mapping.state = 2; }));
  EXPECT_FALSE(valid(map, [](auto& e) { e.new_mapping = kMappedZero; }));
  EXPECT_FALSE(valid(map, [](auto& e) { e.old_mapping = kMappedZero; }));
  EXPECT_FALSE(valid(map, [](auto& e) { e.old_mapping = mapped_to(Pbn{1000}); }));
}

TEST(OldJournalBlock, IsReadByItsOwnPlaces) {
  Block block(kBlockSize);
  JournalBlockHeader header = header_of(311);
  header.type = kJournalTypeOld;
  open_journal_block(block, header);
  for (unsigned i = 0; i < kOldEntriesPerBlock; ++i) {
    std::byte* sector = block.data() + kSectorSize * (1 + i / 46);
    store_u8(sector, header.check_byte);
    store_u8(sector + 1, header.recovery_count);
    store_u8(sector + 2, static_cast<std::uint8_t>(i % 46 + 1));
    std::byte* p = sector + 3 + std::size_t{11} * (i % 46);
    store_le16(p, static_cast<std::uint16_t>(i % 4 | i << 2U));
    store_le32(p + 2, 2000 + i);
    encode_block_mapping(mapped_to(Pbn{1000 + i}), p + 6);
  }
  const JournalBlockHeader read = decode_journal_header(block);
  EXPECT_TRUE(counts(read, kNonce, 250, kJournalSize, 70000 % kJournalSize));
  unsigned next = 0;
  for_each_rebuild_entry(block, read, [&](unsigned i) {
    EXPECT_EQ(i, next++);
    const OldJournalEntry e = old_journal_entry(block, i);
    EXPECT_EQ(e, (OldJournalEntry{static_cast<OldJournalOperation>(i % 4), Pbn{2000 + i},
                                  static_cast<std::uint16_t>(i), mapped_to(Pbn{1000 + i})}));
    EXPECT_TRUE(is_valid(e, 30000, slabs_at_1000()));
    EXPECT_FALSE(is_valid(e, 2000, slabs_at_1000()));
  });
  EXPECT_EQ(next, 311U);
}

TEST(JournalBlock, AnyBytesAreReadWithinTheBlock) {
  std::mt19937_64 random(test::kSeed);
  for (int i = 0; i < 3000; ++i) {
    Block block = test::random_block(random);
    if (i % 2 == 0) {
      for (std::size_t s = 0; s < kEntrySectors; ++s) {  // sectors that count more often
        block[kSectorSize * (s + 1)] = block[51];
        block[kSectorSize * (s + 1) + 1] = block[52];
        block[kSectorSize * (s + 1) + 2] = static_cast<std::byte>(random() % 50);
      }
      store_u8(block.data() + 32, random() % 2 == 0 ? kJournalType : kJournalTypeOld);
    }
    const JournalBlockHeader header = decode_journal_header(block);
    const UsableEntries usable = usable_journal_entries(block, header);
    ASSERT_LE(usable.count, kEntriesPerBlock);
    const bool old = header.type == kJournalTypeOld;
    unsigned entries = 0;
    for_each_rebuild_entry(block, header, [&](unsigned index) {
      ++entries;
      if (old) {
        static_cast<void>(is_valid(old_journal_entry(block, index), 30000, slabs_at_1000()));
      } else {
        static_cast<void>(is_valid(journal_entry(block, index), 30000, slabs_at_1000()));
      }
    });
    ASSERT_LE(entries, old ? kOldEntriesPerBlock : kEntriesPerBlock);
  }
}

}  // namespace
}  // namespace uvdo
