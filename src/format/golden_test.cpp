// SPDX-License-Identifier: GPL-2.0-or-later
// The codecs against blocks that the Linux kernel and vdoformat wrote: what is decoded is what
// another program reads there, and encoding it again gives the same bytes.
#include <algorithm>
#include <functional>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "format/block_map_page.h"
#include "format/compressed_block.h"
#include "format/recovery_journal_block.h"
#include "format/reference_block.h"
#include "format/slab_journal_block.h"
#include "format/slab_layout.h"
#include "format/slab_summary.h"
#include "format/super_block.h"
#include "format/test_fixture.h"
#include "format/volume_geometry.h"

namespace uvdo {
namespace {

using test::Block;
using test::FixtureBlock;

struct Golden {
  VolumeGeometry geometry;
  SuperBlock super_block;
  std::vector<FixtureBlock> blocks;
  [[nodiscard]] SlabLayout slabs() const { return SlabLayout(super_block.depot); }
};

Golden open(const std::string& volume) {
  Golden golden;
  golden.blocks = test::load_fixture(volume);
  golden.geometry = decode_volume_geometry(golden.blocks.at(0).bytes).value();
  golden.super_block = decode_super_block(golden.blocks.at(1).bytes, golden.geometry).value();
  return golden;
}

/// Calls f for each block of a kind in all volumes; fails if there is none.
void for_each(const std::string& kind,
              const std::function<void(const Golden&, const FixtureBlock&)>& f) {
  std::size_t seen = 0;
  for (const std::string& volume : test::volumes()) {
    const Golden golden = open(volume);
    for (const FixtureBlock& block : golden.blocks) {
      if (block.kind != kind) continue;
      SCOPED_TRACE(fmt::format("{} block {} of {}", kind, block.number("pbn"), volume));
      ++seen;
      f(golden, block);
    }
  }
  EXPECT_GT(seen, 4U) << kind;
}

TEST(Golden, GeometryBlocksDecodeAndEncodeAgain) {
  for_each("geometry", [](const Golden& golden, const FixtureBlock& block) {
    const VolumeGeometry& g = golden.geometry;
    EXPECT_EQ(g.major_version, 5U);
    EXPECT_EQ(g.nonce, block.number("nonce"));
    std::string uuid = to_text(g.uuid);
    std::erase(uuid, '-');
    EXPECT_EQ(uuid, block.values.at("uuid"));
    EXPECT_EQ(g.index_start, Pbn{1});
    EXPECT_EQ(g.data_start.value(), block.number("data_start"));
    EXPECT_EQ(g.index_memory.value, std::stoi(block.values.at("memory")));
    EXPECT_EQ(g.sparse, block.number("sparse") == 1);
    Block again(kBlockSize, std::byte{0xAA});
    encode_volume_geometry(g, again);
    EXPECT_EQ(again, block.bytes);
  });
}

TEST(Golden, SuperBlocksDecodeAndEncodeAgain) {
  for_each("super", [](const Golden& golden, const FixtureBlock& block) {
    const SuperBlock& s = golden.super_block;
    EXPECT_EQ(static_cast<std::uint64_t>(s.state), block.number("state"));
    EXPECT_EQ(s.complete_recoveries, block.number("recoveries"));
    EXPECT_EQ(s.read_only_recoveries, block.number("ro"));
    EXPECT_EQ(s.config.logical_blocks, block.number("logical"));
    EXPECT_EQ(s.config.physical_blocks, block.number("physical"));
    EXPECT_EQ(s.config.slab_size, block.number("slab_size"));
    EXPECT_EQ(s.config.journal_size, 32768U);
    EXPECT_EQ(s.journal.journal_start.value(), block.number("start"));
    EXPECT_EQ(s.journal.logical_blocks_used, block.number("used"));
    EXPECT_EQ(s.journal.block_map_blocks, block.number("maps"));
    EXPECT_EQ(s.depot.slab.data_blocks, block.number("data"));
    EXPECT_EQ(s.depot.slab.reference_count_blocks, block.number("references"));
    EXPECT_EQ(s.depot.slab.flushing, block.number("flushing"));
    EXPECT_EQ(s.depot.slab.blocking, block.number("blocking"));
    EXPECT_EQ(s.depot.slab.scrubbing, block.number("scrubbing"));
    EXPECT_EQ(s.depot.first_block.value(), block.number("first"));
    EXPECT_EQ(s.depot.last_block.value(), block.number("last"));
    EXPECT_EQ(s.depot.zone_count, block.number("zones"));
    EXPECT_EQ(s.find(PartitionId::recovery_journal).start.value(), block.number("journal"));
    EXPECT_EQ(s.find(PartitionId::slab_summary).start.value(), block.number("summary"));
    EXPECT_EQ(s.find(PartitionId::block_map).start.value(), block.number("roots"));
    EXPECT_EQ(s.depot.slab, make_slab_config(s.config.slab_size).value());
    Block again(kBlockSize, std::byte{0xAA});
    encode_super_block(s, again);
    EXPECT_EQ(again, block.bytes);
  });
}

void expect_page(const Golden& golden, const FixtureBlock& block) {
  const Pbn pbn{block.number("pbn")};
  EXPECT_EQ(page_status(block.bytes, golden.geometry.nonce, pbn),
            is_initialized(block.bytes) ? PageStatus::valid : PageStatus::invalid);
  EXPECT_EQ(is_initialized(block.bytes), block.number("initialized") == 1);
  Block again(kBlockSize, std::byte{0xAA});
  format_page(again, golden.geometry.nonce, pbn);
  set_initialized(again, is_initialized(block.bytes));
  std::uint64_t mapped = 0;
  std::uint64_t weighted = 0;
  std::uint64_t states = 0;
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const BlockMapping mapping = entry(block.bytes, slot);
    EXPECT_TRUE(golden.slabs().is_valid(mapping)) << slot;
    mapped += mapping.is_mapped() ? 1 : 0;
    weighted += (slot + 1) * mapping.pbn.value();
    states += (slot + 1) * mapping.state;
    set_entry(again, slot, mapping);
  }
  EXPECT_EQ(mapped, block.number("mapped"));
  EXPECT_EQ(weighted, block.number("weighted"));
  EXPECT_EQ(states, block.number("states"));
  // The unused fields of the header may hold anything.
  std::copy_n(block.bytes.begin() + 24, 8, again.begin() + 24);
  std::copy_n(block.bytes.begin() + 33, 3, again.begin() + 33);
  EXPECT_EQ(again, block.bytes);
}
TEST(Golden, InteriorPagesDecodeAndEncodeAgain) { for_each("interior", expect_page); }
TEST(Golden, LeavesDecodeAndEncodeAgain) { for_each("leaf", expect_page); }

TEST(Golden, RecoveryJournalBlocksDecodeAndEncodeAgain) {
  for_each("journal", [](const Golden& golden, const FixtureBlock& block) {
    const JournalBlockHeader header = decode_journal_header(block.bytes);
    EXPECT_EQ(header.block_map_head.value(), block.number("map_head"));
    EXPECT_EQ(header.slab_journal_head.value(), block.number("slab_head"));
    EXPECT_EQ(header.sequence.value(), block.number("sequence"));
    EXPECT_EQ(header.type, block.number("type"));
    EXPECT_EQ(header.entry_count, block.number("count"));
    EXPECT_EQ(header.logical_blocks_used, block.number("used"));
    EXPECT_EQ(header.block_map_blocks, block.number("maps"));
    EXPECT_EQ(header.check_byte, block.number("check"));
    EXPECT_EQ(header.recovery_count, block.number("recovery"));
    EXPECT_EQ(header.check_byte, check_byte_of(header.sequence, 32768));
    EXPECT_TRUE(
        counts(header, golden.geometry.nonce, header.recovery_count, 32768, block.number("index")));
    const UsableEntries usable = usable_journal_entries(block.bytes, header);
    EXPECT_EQ(usable.count, header.entry_count);
    EXPECT_EQ(usable.whole, header.entry_count == 217);

    Block again(kBlockSize, std::byte{0xAA});
    JournalBlockHeader opened = header;
    opened.entry_count = 0;
    opened.block_map_head = JournalSequence{0};
    open_journal_block(again, opened);
    std::map<std::string, std::uint64_t> sums;
    for (unsigned i = 0; i < header.entry_count; ++i) {
      const JournalEntry e = journal_entry(block.bytes, i);
      EXPECT_TRUE(is_valid(e, golden.super_block.config.physical_blocks, golden.slabs())) << i;
      sums["ops"] += (i + 1) * static_cast<std::uint64_t>(e.operation);
      sums["slots"] += (i + 1) * e.slot;
      sums["pages"] += (i + 1) * e.page_pbn.value();
      sums["new"] += (i + 1) * e.new_mapping.pbn.value();
      sums["old"] += (i + 1) * e.old_mapping.pbn.value();
      sums["states"] += (i + 1) * (e.new_mapping.state + std::uint64_t{16} * e.old_mapping.state);
      append_journal_entry(again, i, e, header.check_byte, header.recovery_count);
    }
    for (const auto& [key, sum] : sums) EXPECT_EQ(sum, block.number(key)) << key;
    set_journal_header_heads_and_count(again, header.block_map_head, header.slab_journal_head,
                                       header.entry_count);
    EXPECT_EQ(again, block.bytes);
  });
}

TEST(Golden, SlabJournalBlocksDecodeAndEncodeAgain) {
  for_each("slab_journal", [](const Golden& golden, const FixtureBlock& block) {
    const SlabJournalHeader header = decode_slab_journal_header(block.bytes);
    EXPECT_TRUE(counts(header, golden.geometry.nonce));
    EXPECT_EQ(header.head.value(), block.number("head"));
    EXPECT_EQ(header.sequence.value(), block.number("sequence"));
    EXPECT_EQ(header.recovery_point.packed(), block.number("point"));
    EXPECT_EQ(header.has_block_map_increments, block.number("full") == 1);
    EXPECT_EQ(header.entry_count, block.number("count"));
    const SlabLayout slabs = golden.slabs();
    const Pbn pbn{block.number("pbn")};
    EXPECT_EQ(slabs.journal_block(slabs.slab_of(pbn), header.sequence), pbn);

    Block again(kBlockSize);
    SlabJournalHeader building = header;
    building.entry_count = 0;
    building.has_block_map_increments = false;
    open_slab_journal_block(again, building);
    std::uint64_t sbns = 0;
    std::uint64_t ups = 0;
    std::uint64_t maps = 0;
    for (unsigned i = 0; i < header.entry_count; ++i) {
      const SlabJournalEntry e = slab_journal_entry(block.bytes, header, i);
      EXPECT_LT(e.sbn, slabs.data_blocks());
      sbns += std::uint64_t{i + 1} * e.sbn;
      ups += e.operation != ReferenceOperation::data_decrement ? i + 1 : 0;
      maps += e.operation == ReferenceOperation::block_map_increment ? i + 1 : 0;
      ASSERT_TRUE(has_room(building, e.operation));
      append_slab_journal_entry(again, building, e, header.recovery_point);
    }
    EXPECT_EQ(sbns, block.number("sbns"));
    EXPECT_EQ(ups, block.number("ups"));
    EXPECT_EQ(maps, block.number("maps"));
    EXPECT_EQ(building, header);
    encode_slab_journal_header(building, again);
    const std::size_t end = kSlabJournalHeaderSize + kSlabJournalEntrySize * header.entry_count;
    EXPECT_TRUE(std::equal(again.begin(), again.begin() + static_cast<std::ptrdiff_t>(end),
                           block.bytes.begin()));
    for (unsigned i = 0; i < header.entry_count; ++i) {
      EXPECT_EQ(slab_journal_entry(again, building, i), slab_journal_entry(block.bytes, header, i));
    }
  });
}

TEST(Golden, ReferenceBlocksDecodeAndEncodeAgain) {
  for_each("reference", [](const Golden& golden, const FixtureBlock& block) {
    const SlabLayout slabs = golden.slabs();
    const Pbn pbn{block.number("pbn")};
    EXPECT_EQ(slabs.reference_block(slabs.slab_of(pbn), 0), pbn);
    std::vector<ReferenceCount> all(kCountsPerBlock);
    const CommitPoints points = unpack_reference_block(block.bytes, all);
    for (const JournalPoint point : points) EXPECT_EQ(point.packed(), block.number("point"));
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < all.size(); ++i) sum += (i + 1) * all[i];
    EXPECT_EQ(sum, block.number("counts"));
    Block again(kBlockSize, std::byte{0xAA});
    pack_reference_block(again, all, points[0]);
    EXPECT_EQ(again, block.bytes);
  });
}

TEST(Golden, SlabSummariesDecodeAndEncodeAgain) {
  for_each("summary", [](const Golden&, const FixtureBlock& block) {
    const std::vector<std::uint64_t> words = block.list("words");
    Block again = block.bytes;
    for (SlabNumber slab = 0; slab < words.size(); ++slab) {
      const SlabSummaryEntry e = summary_entry(block.bytes, slab);
      EXPECT_EQ(e.tail_offset, words[slab] & 255U);
      EXPECT_EQ(e.fullness_hint, words[slab] >> 8U & 63U);
      EXPECT_EQ(e.load_reference_counts, (words[slab] & 0x4000U) != 0);
      EXPECT_EQ(e.dirty, (words[slab] & 0x8000U) != 0);
      store_le16(again.data() + std::size_t{2} * slab, 0);
      set_summary_entry(again, slab, e);
    }
    EXPECT_EQ(again, block.bytes);
  });
}

TEST(Golden, CompressedBlocksDecompressAndPackAgain) {
  for_each("compressed", [](const Golden&, const FixtureBlock& block) {
    const std::vector<std::uint64_t> sizes = block.list("sizes");
    std::vector<ConstBytes> fragments;
    for (unsigned slot = 0; slot < kMaxFragments; ++slot) {
      auto fragment = fragment_of(block.bytes, slot);
      ASSERT_EQ(fragment.ok(), sizes[slot] != 0) << slot;
      if (!fragment) continue;
      EXPECT_EQ(fragment->size(), sizes[slot]);
      Block data(kBlockSize);
      EXPECT_TRUE(read_fragment(block.bytes, slot, data).ok());
      EXPECT_FALSE(std::ranges::all_of(data, [](std::byte b) { return b == std::byte{0}; }));
      fragments.push_back(*fragment);
    }
    Block again(kBlockSize, std::byte{0xAA});
    build_compressed_block(fragments, again);
    const auto end = fragments.back().data() + fragments.back().size() - block.bytes.data();
    EXPECT_TRUE(std::equal(again.begin(), again.begin() + end, block.bytes.begin()));
  });
}

}  // namespace
}  // namespace uvdo
