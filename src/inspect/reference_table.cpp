// SPDX-License-Identifier: GPL-2.0-or-later
// Counting references slab by slab; memory comes with the first reference to a slab.
#include "inspect/reference_table.h"

#include "base/check.h"

namespace uvdo {

std::vector<std::uint8_t>& ReferenceTable::slab_counts(SlabNumber slab) {
  auto& counts = counts_[slab];
  if (counts.empty()) counts.resize(slabs_.data_blocks());
  return counts;
}

std::uint16_t ReferenceTable::fragments(SlabNumber slab, Sbn sbn) const {
  const auto& chunks = masks_[slab];
  if (chunks.empty() || !chunks[sbn / kMaskChunk]) return 0;
  return (*chunks[sbn / kMaskChunk])[sbn % kMaskChunk];
}

std::uint16_t& ReferenceTable::mask(SlabNumber slab, Sbn sbn) {
  auto& chunks = masks_[slab];
  if (chunks.empty()) chunks.resize((slabs_.data_blocks() + kMaskChunk - 1) / kMaskChunk);
  auto& chunk = chunks[sbn / kMaskChunk];
  if (!chunk) chunk = std::make_unique<MaskChunk>();
  return (*chunk)[sbn % kMaskChunk];
}

ReferenceTable::Outcome ReferenceTable::add(BlockMapping mapping) {
  check(slabs_.is_data_block(mapping.pbn), "references are to data blocks");
  const SlabNumber slab = slabs_.slab_of(mapping.pbn);
  const Sbn sbn = slabs_.sbn_of(mapping.pbn);
  std::uint8_t& count = slab_counts(slab)[sbn];
  if (count == kTreePage) return Outcome::tree_page;
  bool mixed = false;
  if (mapping.is_compressed()) {
    std::uint16_t& bits = mask(slab, sbn);
    mixed = count > 0 && bits == 0;
    bits = static_cast<std::uint16_t>(bits | 1U << mapping.slot());
  } else {
    mixed = fragments(slab, sbn) != 0;
  }
  if (count == kMost) return Outcome::too_many;
  ++count;
  return mixed ? Outcome::mixed : Outcome::ok;
}

bool ReferenceTable::add_tree_page(Pbn pbn) {
  check(slabs_.is_data_block(pbn), "pages of the block map are in data blocks");
  std::uint8_t& count = slab_counts(slabs_.slab_of(pbn))[slabs_.sbn_of(pbn)];
  if (count != 0) return false;
  count = kTreePage;
  return true;
}

}  // namespace uvdo
