// SPDX-License-Identifier: GPL-2.0-or-later
// libFuzzer target: the decoders of the volume's structures, each fed with arbitrary bytes. The
// first byte chooses the decoder; what is missing of its block is zero. Where a checksum guards a
// structure it is made right, so that what lies behind it is reached.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/crc32.h"
#include "format/advice.h"
#include "format/block_map_page.h"
#include "format/compressed_block.h"
#include "format/index_geometry.h"
#include "format/recovery_journal_block.h"
#include "format/reference_block.h"
#include "format/slab_journal_block.h"
#include "format/slab_layout.h"
#include "format/slab_summary.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

// An end of the process is what the fuzzer takes for a finding.
void require(bool condition) {
  if (!condition) std::abort();
}

/// `input` in a block of its own on the heap, where a sanitizer sees what lies beyond.
std::vector<std::byte> block_of(ConstBytes input) {
  std::vector<std::byte> block(kBlockSize);
  std::copy_n(input.begin(), std::min(input.size(), block.size()), block.begin());
  return block;
}

// Made once: the same for every input, so that a finding comes again.
const VolumeLayout& real_layout() {
  static const VolumeLayout layout = [] {
    FormatRequest request;
    request.device_bytes = std::uint64_t{8} << 30U;
    request.slab_bits = 15;
    request.nonce = 0x5EED;
    return *make_volume_layout(request);
  }();
  return layout;
}

void decode_geometry(ConstBytes input) {
  auto block = block_of(input);
  const bool old = load_le32(block.data() + 12) == 4;
  const std::size_t at = (old ? kGeometrySizeV4 : kGeometrySizeV5) - 4;
  store_le32(block.data() + at, vdo_crc32(ConstBytes(block).first(at)));
  const auto geometry = decode_volume_geometry(block);
  if (!geometry) return;
  require(geometry->index_start < geometry->data_start || geometry->index_blocks() == 0);
  std::vector<std::byte> again(kBlockSize);
  encode_volume_geometry(*geometry, again);
  const auto decoded = decode_volume_geometry(again);
  require(decoded.ok() && *decoded == *geometry);
  [[maybe_unused]] const auto index =
      compute_index_geometry(geometry->index_memory, geometry->sparse);
}

void decode_super(ConstBytes input) {
  const VolumeGeometry& geometry = real_layout().geometry;
  // The input lies over a right super block.
  std::vector<std::byte> block(kBlockSize);
  encode_super_block(real_layout().super_block, block);
  std::copy_n(input.begin(), std::min(input.size(), block.size()), block.begin());
  const std::size_t at = kSuperBlockSize - 4;
  store_le32(block.data() + at, vdo_crc32(ConstBytes(block).first(at)));
  const auto super = decode_super_block(block, geometry);
  if (!super) return;
  require(validate_super_block(*super, geometry).ok());
  // What is accepted can be computed with: everything lies inside of the volume.
  const Pbn end{super->config.physical_blocks};
  for (const Partition& part : super->layout.partitions) {
    require(part.start >= geometry.data_start && part.end() <= end && part.end() >= part.start);
  }
  const SlabLayout slabs(super->depot);
  require(slabs.slab_count() > 0 && slabs.slab_count() <= kMaxSlabs);
  require(slabs.slab_start(slabs.slab_count()) <= end);
  require(slabs.data_blocks() + super->depot.slab.reference_count_blocks +
              super->depot.slab.slab_journal_blocks <=
          slabs.slab_blocks());
  require(super->config.logical_blocks <= kMaxLogicalBlocks);
  std::vector<std::byte> again(kBlockSize);
  encode_super_block(*super, again);
  const auto decoded = decode_super_block(again, geometry);
  require(decoded.ok() && *decoded == *super);
}

void decode_page(ConstBytes input) {
  const auto block = block_of(input);
  const SlabLayout slabs(real_layout().super_block.depot);
  [[maybe_unused]] const PageStatus status =
      page_status(block, load_le64(block.data() + kPageNonceOffset),
                  Pbn{load_le64(block.data() + kPagePbnOffset)});
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const BlockMapping mapping = entry(block, slot);
    require(!slabs.is_valid(mapping) || mapping.pbn == kZeroPbn ||
            slabs.slab_of(mapping.pbn) < slabs.slab_count());
    std::vector<std::byte> copy = block;
    set_entry(copy, slot, mapping);
    require(entry(copy, slot) == mapping);
  }
}

void decode_journal(ConstBytes input) {
  const auto block = block_of(input);
  const SuperBlock& super = real_layout().super_block;
  const SlabLayout slabs(super.depot);
  const JournalBlockHeader header = decode_journal_header(block);
  [[maybe_unused]] const bool ours = counts(header, super.nonce, 0, super.config.journal_size,
                                            header.sequence.value() % super.config.journal_size);
  const UsableEntries usable = usable_journal_entries(block, header);
  require(usable.count <= kEntriesPerBlock);
  for (unsigned i = 0; i < usable.count; ++i) {
    const JournalEntry found = journal_entry(block, i);
    if (!is_valid(found, super.config.physical_blocks, slabs)) continue;
    require(found.slot < kEntriesPerPage && slabs.is_valid(found.new_mapping) &&
            slabs.is_valid(found.old_mapping));
  }
  if (header.type != kJournalType && header.type != kJournalTypeOld) return;
  for_each_rebuild_entry(block, header, [&](unsigned index) {
    if (header.type == kJournalTypeOld) {
      require(index < kOldEntriesPerSector * kEntrySectors);
      const OldJournalEntry found = old_journal_entry(block, index);
      if (is_valid(found, super.config.physical_blocks, slabs)) {
        require(found.slot < kEntriesPerPage && slabs.is_valid(found.mapping));
      }
    } else {
      require(index < kEntriesPerBlock);
      [[maybe_unused]] const JournalEntry found = journal_entry(block, index);
    }
  });
}

void decode_slab_journal(ConstBytes input) {
  const auto block = block_of(input);
  const SlabJournalHeader header = decode_slab_journal_header(block);
  if (!counts(header, header.nonce)) return;
  require(header.entry_count <= slab_journal_capacity(header.has_block_map_increments));
  for (unsigned i = 0; i < header.entry_count; ++i) {
    require(slab_journal_entry(block, header, i).sbn <= kMaxSbn);
  }
}

void decode_counts(ConstBytes input) {
  const auto block = block_of(input);
  for (const std::size_t wanted : {std::size_t{1}, std::size_t{505}, std::size_t{4032}}) {
    std::vector<ReferenceCount> found(wanted);
    unpack_reference_block(block, found);
    require(std::find(found.begin(), found.end(), kProvisional) == found.end());
  }
}

void decode_summary(ConstBytes input) {
  const auto block = block_of(input);
  for (SlabNumber slab = 0; slab < 2048; ++slab) {
    const SlabSummaryEntry found = summary_entry(block, slab);
    for (const unsigned bits : {8U, 13U, 23U}) {
      require(free_blocks_of_hint(found.fullness_hint, bits) <= std::uint64_t{1} << bits);
    }
    require(decode_slab_summary_entry(encode_slab_summary_entry(found)) == found);
  }
}

void decode_compressed(ConstBytes input) {
  const auto block = block_of(input);
  std::vector<std::byte> out(kBlockSize);
  for (unsigned slot = 0; slot < 20; ++slot) {
    const auto fragment = fragment_of(block, slot);
    require(slot < kMaxFragments || !fragment);
    const auto read = read_fragment(block, slot, out);
    require(!read || fragment.ok());
  }
}

void decode_fragment(ConstBytes input) {
  const std::vector<std::byte> fragment(input.begin(), input.end());
  std::vector<std::byte> out(kBlockSize);
  [[maybe_unused]] const auto done = decompress_fragment(fragment, out);
}

void decode_advices(ConstBytes input) {
  const auto block = block_of(input);
  for (std::size_t at = 0; at + kAdviceSize <= block.size(); at += kAdviceSize) {
    const auto mapping = decode_advice(block.data() + at);
    if (!mapping) continue;
    require(mapping->valid() && !mapping->is_zero());
    require(decode_advice(encode_advice(*mapping).data()) == mapping);
  }
}

}  // namespace
}  // namespace uvdo

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const uvdo::ConstBytes input{reinterpret_cast<const std::byte*>(data) + 1, size - 1};
  switch (data[0] % 10) {
    case 0: uvdo::decode_geometry(input); break;
    case 1: uvdo::decode_super(input); break;
    case 2: uvdo::decode_page(input); break;
    case 3: uvdo::decode_journal(input); break;
    case 4: uvdo::decode_slab_journal(input); break;
    case 5: uvdo::decode_counts(input); break;
    case 6: uvdo::decode_summary(input); break;
    case 7: uvdo::decode_compressed(input); break;
    case 8: uvdo::decode_fragment(input); break;
    default: uvdo::decode_advices(input); break;
  }
  return 0;
}
