// SPDX-License-Identifier: GPL-2.0-or-later
// Counting references slab by slab; memory comes with the first reference to a part of one.
#include "inspect/reference_table.h"

#include "base/check.h"

namespace uvdo {

std::uint16_t ReferenceTable::fragments(SlabNumber slab, Sbn sbn) const {
  const std::uint16_t* found = masks_[slab].find(sbn);
  return found == nullptr ? std::uint16_t{0} : *found;
}

ReferenceTable::Outcome ReferenceTable::add(BlockMapping mapping) {
  check(slabs_.is_data_block(mapping.pbn), "references are to data blocks");
  const SlabNumber slab = slabs_.slab_of(mapping.pbn);
  const Sbn sbn = slabs_.sbn_of(mapping.pbn);
  std::uint8_t& count = counts_[slab].get(sbn, slabs_.data_blocks());
  if (count == kTreePage) return Outcome::tree_page;
  bool mixed = false;
  if (mapping.is_compressed()) {
    std::uint16_t& bits = masks_[slab].get(sbn, slabs_.data_blocks());
    mixed = count > 0 && bits == 0;
    // Noted even where the count is full: fragments are tried, whoever refers to them.
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
  std::uint8_t& count = counts_[slabs_.slab_of(pbn)].get(slabs_.sbn_of(pbn), slabs_.data_blocks());
  if (count != 0) return false;
  count = kTreePage;
  return true;
}

}  // namespace uvdo
