// SPDX-License-Identifier: GPL-2.0-or-later
// Opening a volume image and finding the way from logical blocks to their contents.
#include "inspect/volume_image.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "format/compressed_block.h"

namespace uvdo {
namespace {

// 256 KiB.
constexpr std::size_t kCompressedCached = 64;

/// Leaves below one entry of a page at `height`.
constexpr std::uint64_t leaves_per_entry(unsigned height) {
  std::uint64_t n = 1;
  for (unsigned h = 1; h < height; ++h) n *= kEntriesPerPage;
  return n;
}

std::string bad_location(Pbn page, unsigned height, unsigned slot, BlockMapping entry) {
  return fmt::format(
      "block map page {} (height {}) slot {} leads to block {} (state {}), where no "
      "page can be",
      page.value(), height, slot, entry.pbn.value(), entry.state);
}

}  // namespace

Result<std::unique_ptr<VolumeImage>> VolumeImage::open(std::unique_ptr<BackingStore> store,
                                                       ImageOptions options) {
  std::unique_ptr<VolumeImage> image(new VolumeImage(std::move(store)));
  if (auto ok = image->read_headers(); !ok) return ok.error().within(image->store().name());
  image->pages_.resize(kBlockMapRoots);
  image->compressed_.resize(kCompressedCached);
  if (options.replay && needs_journal(image->super_.state)) {
    auto replay = replay_journal(*image);
    if (!replay) return replay.error().within(image->store().name());
    image->replay_ = std::move(*replay);
  }
  return image;
}

Result<void> VolumeImage::read_headers() {
  std::array<std::byte, kBlockSize> block;
  if (store().size() < kBlockSize) {
    return Error(Errc::not_found, "it is smaller than one block, so it holds no VDO volume");
  }
  // Each structure tells where the next one is, and is validated before that is believed.
  if (auto ok = device_.read(0, block); !ok) return ok;
  auto geometry = decode_volume_geometry(block);
  if (!geometry) return std::move(geometry).error();
  geometry_ = *geometry;
  if (auto ok = read_blocks(geometry_.data_start, block); !ok) return ok;
  auto super = decode_super_block(block, geometry_);
  if (!super) return std::move(super).error();
  super_ = *super;
  slabs_ = SlabLayout(super_.depot);
  return {};
}

bool VolumeImage::is_truncated() const { return store().size() < volume_end(geometry_, super_); }

std::uint64_t VolumeImage::logical_blocks_used() const {
  return replay_ ? replay_->view.usable.logical_blocks_used : super_.journal.logical_blocks_used;
}

std::uint64_t VolumeImage::block_map_blocks() const {
  return replay_ ? replay_->view.usable.block_map_blocks : super_.journal.block_map_blocks;
}

Result<void> VolumeImage::read_blocks(Pbn first, MutableBytes out) const {
  if (first.value() < geometry_.bio_offset || first.value() >= kMaxPhysicalBlocks * 2) {
    return Error(Errc::out_of_range, fmt::format("block {} is not on the device", first.value()));
  }
  return device_.read(byte_of(first), out);
}

std::uint64_t VolumeImage::hole_blocks(Pbn first, std::uint64_t limit) const {
  if (first.value() < geometry_.bio_offset) return 0;
  const std::uint64_t at = byte_of(first);
  const std::uint64_t end = std::min(at + limit * kBlockSize, store().size());
  if (at >= end) return 0;
  return (device_.store().next_data(at, end) - at) / kBlockSize;
}

Result<void> VolumeImage::read_page(Pbn pbn, PageView& out) const {
  if (auto ok = read_blocks(pbn, out.bytes); !ok) return ok;
  out.status = page_status(out.bytes, geometry_.nonce, pbn);
  if (!replay_) return {};
  const auto changes = replay_->view.changes.of(pbn);
  // Of a page that belongs elsewhere nothing but these would be known.
  if (changes.empty() || out.status == PageStatus::bad) return {};
  if (out.status == PageStatus::invalid) {
    format_page(out.bytes, geometry_.nonce, pbn);
    set_initialized(out.bytes);
    out.status = PageStatus::valid;
  }
  lay_over(out.bytes, changes);
  return {};
}

Result<const PageView*> VolumeImage::cached_page(std::uint32_t root, unsigned height, Pbn pbn) {
  auto& place = pages_[root][height];
  if (!place) place = std::make_unique<CachedPage>();
  if (!place->loaded || place->pbn != pbn) {
    // A page whose reading fails must not stay in the cache under its number.
    place->loaded = false;
    place->pbn = pbn;
    if (auto ok = read_page(pbn, place->view); !ok) return std::move(ok).error();
    place->loaded = true;
  }
  if (place->view.status == PageStatus::bad) {
    return Error(Errc::corrupt,
                 fmt::format("block map page {} says that it belongs at block {}", pbn.value(),
                             load_le64(place->view.bytes.data() + kPagePbnOffset)));
  }
  return &place->view;
}

template <class Visit>
Result<BlockMapping> VolumeImage::follow(Lbn lbn, Visit&& visit) {
  if (lbn.value() >= logical_blocks()) {
    return Error(Errc::out_of_range, fmt::format("logical block {} is beyond the end ({} blocks)",
                                                 lbn.value(), logical_blocks()));
  }
  // From the root down. Where a page is missing, or was never written, nothing is mapped.
  const TreePath path = tree_path(lbn);
  Pbn pbn = super_.block_map.root_origin + path.root;
  for (unsigned height = kRootHeight;; --height) {
    auto page = cached_page(path.root, height, pbn);
    if (!page) return std::move(page).error();
    const PageStatus status = (*page)->status;
    const unsigned slot = path.slots[height];
    const BlockMapping entry = status == PageStatus::valid ? (*page)->entry(slot) : kUnmapped;
    visit(MapStep{height, pbn, slot, status, entry});
    if (height == 0 || entry == kUnmapped) return entry;
    if (entry.state != kStateUncompressed || !slabs_.is_data_block(entry.pbn)) {
      return Error(Errc::corrupt, bad_location(pbn, height, slot, entry));
    }
    pbn = entry.pbn;
  }
}

Result<BlockMapping> VolumeImage::mapping(Lbn lbn) {
  return follow(lbn, [](const MapStep&) {});
}

Result<BlockMapping> VolumeImage::mapping(Lbn lbn, std::vector<MapStep>& way) {
  return follow(lbn, [&](const MapStep& step) { way.push_back(step); });
}

Result<const VolumeImage::CachedBlock*> VolumeImage::cached_block(Pbn pbn) {
  // Direct-mapped: neighbours in a file lie in few compressed blocks.
  auto& place = compressed_[pbn.value() % compressed_.size()];
  if (place && place->pbn == pbn) return place.get();
  if (!place) place = std::make_unique<CachedBlock>();
  // As of a page: no block of that number until all of it is there.
  place->pbn = kZeroPbn;
  if (auto ok = read_blocks(pbn, place->bytes); !ok) return std::move(ok).error();
  place->pbn = pbn;
  return place.get();
}

Result<void> VolumeImage::read_mapped(BlockMapping mapping, MutableBytes out) {
  check(out.size() == kBlockSize, "a logical block is 4096 bytes");
  if (!slabs_.is_valid(mapping)) {
    return Error(Errc::corrupt, fmt::format("its mapping to block {} (state {}) is not valid",
                                            mapping.pbn.value(), mapping.state));
  }
  if (mapping.is_zero()) {
    std::memset(out.data(), 0, out.size());
    return {};
  }
  if (!mapping.is_compressed()) return read_blocks(mapping.pbn, out);
  auto block = cached_block(mapping.pbn);
  if (!block) return std::move(block).error();
  if (auto ok = read_fragment((*block)->bytes, mapping.slot(), out); !ok) {
    return ok.error().within(
        fmt::format("fragment {} of compressed block {}", mapping.slot(), mapping.pbn.value()));
  }
  return {};
}

Result<void> VolumeImage::read(Lbn lbn, MutableBytes out) {
  auto found = mapping(lbn);
  if (!found) return std::move(found).error();
  return read_mapped(*found, out);
}

std::optional<VolumeImage::LeafPlace> VolumeImage::next_leaf(std::uint32_t root,
                                                             std::uint64_t index) {
  const std::uint64_t leaves = tree_size(logical_blocks(), root).pages[0];
  // Down from the root by the path of `index`. Where the path ends, `index` is that of the first
  // leaf behind the gap, and the way begins anew at the root.
  while (index < leaves) {
    Pbn pbn = super_.block_map.root_origin + root;
    bool found = true;
    for (unsigned height = kRootHeight; height > 0 && found; --height) {
      const std::uint64_t unit = leaves_per_entry(height);
      auto page = cached_page(root, height, pbn);
      if (!page) return LeafPlace{index, kZeroPbn, page.error().message()};
      const auto first = static_cast<unsigned>(index / unit % kEntriesPerPage);
      unsigned slot = first;
      if ((*page)->status != PageStatus::valid) slot = kEntriesPerPage;
      while (slot < kEntriesPerPage && (*page)->entry(slot) == kUnmapped) ++slot;
      // Skipping from entry to entry of this page begins at the first leaf of the entry.
      if (slot != first) index = (index / unit + (slot - first)) * unit;
      if (slot == kEntriesPerPage) {
        found = false;
        break;
      }
      if (index >= leaves) return std::nullopt;
      const BlockMapping entry = (*page)->entry(slot);
      if (entry.state != kStateUncompressed || !slabs_.is_data_block(entry.pbn)) {
        return LeafPlace{index, kZeroPbn, bad_location(pbn, height, slot, entry)};
      }
      pbn = entry.pbn;
    }
    if (found) return LeafPlace{index, pbn, {}};
  }
  return std::nullopt;
}

Result<std::vector<SlabSummaryEntry>> VolumeImage::read_slab_summary() const {
  const Partition partition = super_.find(PartitionId::slab_summary);
  std::vector<std::byte> blocks(partition.blocks * kBlockSize);
  if (auto ok = read_blocks(partition.start, blocks); !ok) return std::move(ok).error();
  // Each slab's entry lies in the area of its zone, by the number of zones that the super block
  // records (behaviour.md, 17).
  std::vector<SlabSummaryEntry> entries(slab_count());
  for (SlabNumber slab = 0; slab < entries.size(); ++slab) {
    const unsigned zone = summary_zone(slab, super_.depot.zone_count);
    const std::size_t at = summary_block(zone, slab) * kBlockSize;
    entries[slab] = summary_entry(ConstBytes(blocks).subspan(at, kBlockSize), slab);
  }
  return entries;
}

}  // namespace uvdo
