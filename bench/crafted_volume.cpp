// SPDX-License-Identifier: GPL-2.0-or-later
#include "crafted_volume.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "async/sim_random.h"
#include "format/slab_summary.h"

namespace uvdo {
namespace {

// Free blocks of a volume long in use lie alone or in short runs.
constexpr std::uint64_t kLongestFreeRun = 8;

std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

/// Pages above the leaves, without the roots.
std::uint64_t interior_pages_of(std::uint64_t leaves) {
  std::uint64_t pages = 0;
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    const TreeSize tree = tree_size(leaves * kEntriesPerPage, root);
    for (unsigned height = 1; height < kRootHeight; ++height) pages += tree.pages[height];
  }
  return pages;
}

}  // namespace

// ---- blocks in use

UsedBlocks::UsedBlocks(unsigned percent) : is_used_(kCountsPerBlock, true) {
  SimRandom random(percent);
  std::uint64_t to_free = kCountsPerBlock - std::uint64_t{kCountsPerBlock} * percent / 100;
  // Runs may meet and be longer; places that are free already end one.
  while (to_free > 0) {
    std::uint64_t place = random.below(kCountsPerBlock);
    std::uint64_t run = random.between(1, std::min(kLongestFreeRun, to_free));
    for (; run > 0 && place < kCountsPerBlock && is_used_[place]; --run, ++place, --to_free) {
      is_used_[place] = false;
    }
  }
  for (unsigned place = 0; place < kCountsPerBlock; ++place) {
    used_before_.push_back(static_cast<std::uint16_t>(places_.size()));
    if (is_used_[place]) places_.push_back(static_cast<std::uint16_t>(place));
  }
}

std::uint64_t UsedBlocks::used_before(Sbn sbn) const {
  return sbn / kCountsPerBlock * places_.size() + used_before_[sbn % kCountsPerBlock];
}

std::uint64_t UsedBlocks::count_in(std::uint64_t data_blocks) const {
  return used_before(static_cast<Sbn>(data_blocks));
}

void UsedBlocks::set_slabs(const SlabLayout& slabs) {
  slabs_ = slabs;
  per_slab_ = count_in(slabs.data_blocks());
}

Pbn UsedBlocks::at(std::uint64_t number) const { return Cursor(*this, number).pbn(); }

std::optional<std::uint64_t> UsedBlocks::number_of(Pbn pbn) const {
  const Sbn sbn = slabs_.sbn_of(pbn);
  if (!is_used(sbn)) return std::nullopt;
  return slabs_.slab_of(pbn) * per_slab_ + used_before(sbn);
}

UsedBlocks::Cursor::Cursor(const UsedBlocks& blocks, std::uint64_t number)
    : blocks_(&blocks), number_(number) {
  const std::uint64_t in_slab = number % blocks.per_slab_;
  const std::uint64_t tile = in_slab / blocks.places_.size();
  tile_start_ = blocks.slabs_.pbn_of(static_cast<SlabNumber>(number / blocks.per_slab_),
                                     static_cast<Sbn>(tile * kCountsPerBlock));
  in_tile_ = in_slab % blocks.places_.size();
  left_in_slab_ = blocks.per_slab_ - in_slab;
}

void UsedBlocks::Cursor::next() {
  ++number_;
  if (--left_in_slab_ == 0) {
    *this = Cursor(*blocks_, number_);
  } else if (++in_tile_ == blocks_->places_.size()) {
    in_tile_ = 0;
    tile_start_ += kCountsPerBlock;
  }
}

// ---- the volume

CraftedVolume::CraftedVolume(const CraftRequest& request)
    : request_(request), used_(request.used_percent), uniform_counts_(kBlockSize) {
  const std::uint64_t mapped =
      divide_up(std::uint64_t{kEntriesPerPage} * request.mapped_percent, 100);
  for (std::uint64_t slot = 0; slot < kEntriesPerPage; ++slot) {
    // So that as many are mapped, evenly.
    if (slot * mapped / kEntriesPerPage != (slot + 1) * mapped / kEntriesPerPage) {
      mapped_slots_.push_back(static_cast<std::uint16_t>(slot));
    }
  }
}

std::uint64_t CraftedVolume::data_blocks_for(std::uint64_t leaves) const {
  return divide_up(leaves * mapped_per_leaf(), request_.references);
}

Result<CraftedVolume> CraftedVolume::make(const CraftRequest& request) {
  const auto is_percent = [](unsigned value) { return value >= 1 && value <= 100; };
  if (!is_percent(request.mapped_percent) || !is_percent(request.used_percent) ||
      request.references < 1 || request.references > kMaxReferences) {
    return Error(Errc::invalid_argument, "shares are 1 to 100 percent, references 1 to 254");
  }
  CraftedVolume volume(request);
  auto config = make_slab_config(1ULL << request.slab_bits);
  if (!config) return std::move(config).error();
  const std::uint64_t per_slab = volume.used_.count_in(config->data_blocks);
  const auto blocks_for = [&](std::uint64_t leaves) {
    return interior_pages_of(leaves) + leaves + volume.data_blocks_for(leaves);
  };
  std::uint64_t leaves = std::max<std::uint64_t>(leaf_count(request.logical_bytes / kBlockSize), 1);
  const std::uint64_t slabs = divide_up(blocks_for(leaves), per_slab);
  // An emptier slab at the end would be where all is written: the volume grows until it is full.
  std::uint64_t too_many = slabs * per_slab;
  while (too_many - leaves > 1) {
    const std::uint64_t middle = leaves + (too_many - leaves) / 2;
    (blocks_for(middle) <= slabs * per_slab ? leaves : too_many) = middle;
  }
  volume.leaves_ = leaves;
  volume.data_blocks_ = volume.data_blocks_for(leaves);

  FormatRequest format;
  auto least = minimum_physical_blocks(request.slab_bits, format.index_memory, format.sparse);
  if (!least) return std::move(least).error();
  format.device_bytes = (*least + ((slabs - 1) << request.slab_bits)) * kBlockSize;
  format.slab_bits = request.slab_bits;
  format.logical_bytes = leaves * kEntriesPerPage * kBlockSize;
  format.nonce = request.nonce;
  auto layout = make_volume_layout(format);
  if (!layout) return std::move(layout).error();
  volume.layout_ = *layout;
  volume.number_pages();
  volume.finish_layout();
  return volume;
}

void CraftedVolume::number_pages() {
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    const TreeSize tree = tree_size(layout_.super_block.config.logical_blocks, root);
    for (unsigned height = 1; height < kRootHeight; ++height) {
      first_page_[root][height] = interior_pages_;
      generations_.push_back({interior_pages_, root, height});
      interior_pages_ += tree.pages[height];
    }
  }
}

void CraftedVolume::finish_layout() {
  SuperBlock& super = layout_.super_block;
  slabs_ = SlabLayout(super.depot);
  used_.set_slabs(slabs_);
  super.state = VolumeState::clean;
  super.depot.zone_count = 1;
  super.journal.logical_blocks_used = mapped_blocks();
  super.journal.block_map_blocks = tree_pages();
  std::vector<ReferenceCount> counts(kCountsPerBlock, kFree);
  for (Sbn place = 0; place < kCountsPerBlock; ++place) {
    if (used_.is_used(place)) counts[place] = static_cast<ReferenceCount>(request_.references);
  }
  pack_reference_block(uniform_counts_.bytes(), counts, JournalPoint{});
}

bool CraftedVolume::is_for_data(Pbn pbn) const {
  if (!slabs_.is_data_block(pbn)) return false;
  const auto number = used_.number_of(pbn);
  return !number || *number >= tree_pages();
}

bool CraftedVolume::read(Pbn pbn, MutableBytes block) const {
  const VolumeGeometry& geometry = layout_.geometry;
  const SuperBlock& super = layout_.super_block;
  const Pbn roots = super.block_map.root_origin;
  const Partition summary = super.find(PartitionId::slab_summary);
  if (pbn >= super.depot.first_block && pbn < super.depot.last_block) {
    return read_slab_block(pbn, block);
  }
  if (pbn == Pbn{geometry.bio_offset}) {
    encode_volume_geometry(geometry, block);
  } else if (pbn == geometry.data_start) {
    encode_super_block(super, block);
  } else if (pbn >= roots && pbn < roots + kBlockMapRoots) {
    const auto root = static_cast<std::uint32_t>(pbn - roots);
    format_page(block, super.nonce, pbn);
    set_initialized(block);
    read_interior({0, root, kRootHeight}, 0, block);
  } else if (pbn >= summary.start && pbn < summary.end()) {
    read_summary(pbn - summary.start, block);
  } else {
    std::memset(block.data(), 0, block.size());
    return false;
  }
  return true;
}

bool CraftedVolume::read_slab_block(Pbn pbn, MutableBytes block) const {
  const Sbn sbn = slabs_.sbn_of(pbn);
  if (slabs_.is_data_block(pbn)) {
    const auto number = used_.number_of(pbn);
    if (number && *number < tree_pages()) {
      format_page(block, layout_.super_block.nonce, pbn);
      set_initialized(block);
      read_page(*number, block);
      return true;
    }
  } else if (sbn - slabs_.data_blocks() < reference_blocks_used(slabs_.data_blocks())) {
    read_counts(slabs_.slab_of(pbn), sbn - slabs_.data_blocks(), block);
    return true;
  }
  std::memset(block.data(), 0, block.size());
  return false;
}

Pbn CraftedVolume::skip_holes(Pbn pbn) const {
  const SlabDepotState& depot = layout_.super_block.depot;
  if (pbn < depot.first_block || pbn >= depot.last_block) return pbn;
  const SlabNumber slab = slabs_.slab_of(pbn);
  if (is_for_data(pbn)) {
    const auto number = used_.number_of(pbn);
    return number ? slabs_.reference_block(slab, 0) : pbn;
  }
  const Sbn journal = static_cast<Sbn>(slabs_.journal_block_at(slab, 0) - slabs_.slab_start(slab));
  return slabs_.sbn_of(pbn) < journal ? pbn : slabs_.slab_start(slab + 1);
}

// ---- the map

std::uint64_t CraftedVolume::page_at(std::uint32_t root, unsigned height,
                                     std::uint64_t index) const {
  return height == 0 ? interior_pages_ + page_of(root, index).value()
                     : first_page_[root][height] + index;
}

void CraftedVolume::read_page(std::uint64_t number, MutableBytes block) const {
  if (number >= interior_pages_) return read_leaf(number - interior_pages_, block);
  // The last that begins at or before it; those without pages begin where the next one does.
  const auto behind = std::ranges::upper_bound(generations_, number, {}, &Generation::first);
  const Generation& generation = *(behind - 1);
  read_interior(generation, number - generation.first, block);
}

void CraftedVolume::read_interior(const Generation& generation, std::uint64_t index,
                                  MutableBytes block) const {
  const TreeSize tree = tree_size(layout_.super_block.config.logical_blocks, generation.root);
  const unsigned below = generation.height - 1;
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const std::uint64_t child = index * kEntriesPerPage + slot;
    if (child >= tree.pages[below]) break;
    set_entry(block, slot, mapped_to(used_.at(page_at(generation.root, below, child))));
  }
}

void CraftedVolume::read_leaf(std::uint64_t leaf, MutableBytes block) const {
  // Mapped blocks take the data blocks in order, round and round: with several references each
  // comes as often.
  std::uint64_t data = leaf * mapped_per_leaf() % data_blocks_;
  UsedBlocks::Cursor cursor(used_, tree_pages() + data);
  for (const unsigned slot : mapped_slots_) {
    set_entry(block, slot, mapped_to(cursor.pbn()));
    if (++data == data_blocks_) {
      data = 0;
      cursor = UsedBlocks::Cursor(used_, tree_pages());
    } else {
      cursor.next();
    }
  }
}

// ---- the counts

ReferenceCount CraftedVolume::count_of(std::uint64_t number) const {
  if (number < tree_pages()) return kMaxReferences;
  const std::uint64_t data = number - tree_pages();
  if (data >= data_blocks_) return kFree;
  const std::uint64_t more = data < mapped_blocks() % data_blocks_ ? 1 : 0;
  return static_cast<ReferenceCount>(mapped_blocks() / data_blocks_ + more);
}

void CraftedVolume::read_counts(SlabNumber slab, std::uint64_t index, MutableBytes block) const {
  const std::uint64_t first_place = index * kCountsPerBlock;
  const std::uint64_t places =
      std::min<std::uint64_t>(kCountsPerBlock, slabs_.data_blocks() - first_place);
  std::uint64_t number = slab * used_.per_slab() + used_.used_before(static_cast<Sbn>(first_place));
  // If the first count of the tile is the usual one and that behind its end too, all are: along the
  // numbering counts only fall.
  if (places == kCountsPerBlock && count_of(number) == request_.references &&
      count_of(number + kCountsPerBlock) == request_.references) {
    std::memcpy(block.data(), uniform_counts_.data(), kBlockSize);
    return;
  }
  std::array<ReferenceCount, kCountsPerBlock> counts{};
  for (Sbn place = 0; place < places; ++place) {
    if (used_.is_used(place)) counts[place] = count_of(number++);
  }
  pack_reference_block(block, std::span(counts).first(places), JournalPoint{});
}

std::uint64_t CraftedVolume::blocks_in_use(SlabNumber slab) const {
  const std::uint64_t all = tree_pages() + data_blocks_;
  const std::uint64_t before = slab * used_.per_slab();
  return std::min(used_.per_slab(), all - std::min(all, before));
}

void CraftedVolume::read_summary(std::uint64_t index, MutableBytes block) const {
  std::memset(block.data(), 0, block.size());
  const auto first =
      static_cast<SlabNumber>(index % kSummaryBlocksPerZone * kSummaryEntriesPerBlock);
  for (SlabNumber slab = first; slab < first + kSummaryEntriesPerBlock; ++slab) {
    SlabSummaryEntry entry;
    std::uint64_t free = slabs_.data_blocks();
    if (slab < slabs_.slab_count()) {
      free -= blocks_in_use(slab);
      entry.load_reference_counts = true;
    }
    entry.fullness_hint = fullness_hint(free, slabs_.slab_bits());
    set_summary_entry(block, slab, entry);
  }
}

}  // namespace uvdo
