// SPDX-License-Identifier: GPL-2.0-or-later
// Builds the test volume block by block.
#include "inspect/test_volume.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "format/block_map_page.h"
#include "format/block_map_tree.h"
#include "format/compressed_block.h"
#include "format/reference_block.h"
#include "format/slab_journal_block.h"
#include "format/slab_layout.h"
#include "format/slab_summary.h"

namespace uvdo {
namespace {

constexpr unsigned kSlabBits = 9;
constexpr std::uint64_t kSlabs = 5;
constexpr std::uint8_t kTailOffset = 2;  // behind journal block 1

std::array<std::byte, kBlockSize> filled(int value) {
  std::array<std::byte, kBlockSize> bytes;
  bytes.fill(static_cast<std::byte>(value));
  return bytes;
}

}  // namespace

TestVolume::TestVolume() {
  FormatRequest request;
  request.slab_bits = kSlabBits;
  request.small_slabs = true;
  request.nonce = 0x1234567;
  request.logical_bytes = kLogicalBlocks * kBlockSize;
  const auto least = minimum_physical_blocks(kSlabBits, request.index_memory, request.sparse);
  check(least.ok(), "the smallest size is known");
  size_ = (*least + (kSlabs - 1) * (1U << kSlabBits)) * kBlockSize;
  request.device_bytes = size_;
  auto layout = make_volume_layout(request);
  check(layout.ok(), "the test volume can be laid out");
  layout_ = *layout;
  SuperBlock& super = layout_.super_block;
  counts_.resize(super.depot.slab.data_blocks);

  leaf0 = add_leaf(0);
  const Pbn leaf1 = add_leaf(1);
  plain = allocate(1);
  const Pbn shared = allocate(3);
  compressed = allocate(2);
  std::ranges::copy(filled(0x11), block(plain).begin());
  std::ranges::copy(filled(0x22), block(shared).begin());
  Lz4Compressor compressor;
  std::array<std::array<std::byte, kBlockSize>, 2> packed;
  std::array<ConstBytes, 2> fragments;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto data = filled(i == 0 ? 0x33 : 0x44);
    fragments[i] = ConstBytes(packed[i]).first(compressor.compress(data.data(), packed[i]));
  }
  build_compressed_block(fragments, block(compressed));

  set_entry(block(leaf0), kPlain, mapped_to(plain));
  for (unsigned i = 0; i < 3; ++i) set_entry(block(leaf0), kShared + i, mapped_to(shared));
  set_entry(block(leaf0), kZero, kMappedZero);
  for (unsigned i = 0; i < 2; ++i) {
    set_entry(block(leaf1), kFragment - kEntriesPerPage + i, mapped_to_fragment(compressed, i));
  }

  const SlabLayout slabs(super.depot);
  pack_reference_block(block(slabs.reference_block(0, 0)), counts_, JournalPoint{1, 0});
  const MutableBytes journal = block(slabs.journal_block(0, SlabSequence{1}));
  SlabJournalHeader header;
  header.head = header.sequence = SlabSequence{1};
  header.nonce = super.nonce;
  open_slab_journal_block(journal, header);
  append_slab_journal_entry(journal, header,
                            {slabs.sbn_of(plain), ReferenceOperation::data_increment},
                            JournalPoint{1, 0});
  encode_slab_journal_header(header, journal);

  const auto free = static_cast<std::uint64_t>(std::ranges::count(counts_, std::uint8_t{0}));
  for (SlabNumber slab = 0; slab < kSlabs; ++slab) {
    SlabSummaryEntry entry;
    entry.fullness_hint = fullness_hint(slab == 0 ? free : counts_.size(), kSlabBits);
    if (slab == 0) {
      entry.tail_offset = kTailOffset;
      entry.load_reference_counts = true;
    }
    set_summary_entry(block(super.find(PartitionId::slab_summary).start), slab, entry);
  }
  super.state = VolumeState::clean;
  super.journal = {JournalSequence{2}, 7, tree_pages_};
  super.depot.zone_count = 1;
  write_super_block(super);
  encode_volume_geometry(layout_.geometry, block(Pbn{0}));
}

MutableBytes TestVolume::block(Pbn pbn) {
  auto& bytes = blocks_[pbn.value()];
  bytes.resize(kBlockSize);
  return bytes;
}

std::vector<Pbn> TestVolume::blocks() const {
  std::vector<Pbn> numbers;
  for (const auto& [number, bytes] : blocks_) numbers.emplace_back(number);
  return numbers;
}

void TestVolume::write_super_block(const SuperBlock& super) {
  encode_super_block(super, block(layout_.geometry.data_start));
}

SparseImage TestVolume::image() const {
  SparseImage image(size_);
  for (const auto& [number, bytes] : blocks_) image.write(number * kBlockSize, bytes);
  return image;
}

Pbn TestVolume::allocate(std::uint8_t count) {
  counts_[next_] = count;
  return layout_.super_block.depot.first_block + next_++;
}

/// A leaf with the way to it from its root.
Pbn TestVolume::add_leaf(std::uint64_t page) {
  const TreePath path = tree_path(PageNumber{page});
  const std::uint64_t nonce = layout_.super_block.nonce;
  Pbn parent = layout_.super_block.block_map.root_origin + path.root;
  for (unsigned height = kRootHeight;; --height) {
    format_page(block(parent), nonce, parent);
    set_initialized(block(parent));
    if (height == 0) return parent;
    const Pbn child = allocate(kMaxReferences);
    ++tree_pages_;
    set_entry(block(parent), path.slots[height], mapped_to(child));
    parent = child;
  }
}

}  // namespace uvdo
