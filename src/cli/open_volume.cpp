// SPDX-License-Identifier: GPL-2.0-or-later
// Opening stopped volumes, and counting what is in them.
#include "cli/open_volume.h"

#include "base/saturating.h"
#include "inspect/audit.h"

namespace uvdo {

Result<std::unique_ptr<VolumeImage>> open_volume(const std::string& path, ImageOptions options) {
  auto source = open_image_source(path);
  if (!source) return std::move(source).error();
  return VolumeImage::open(std::move(*source), options);
}

std::string_view explain(VolumeState state) {
  switch (state) {
    case VolumeState::dirty: return "in use, or not shut down: it is recovered at its next start";
    case VolumeState::new_volume: return "formatted, never started";
    case VolumeState::clean: return "shut down cleanly";
    case VolumeState::read_only_mode:
      return "read-only after an error: it can be read, and must be rebuilt before it is written";
    case VolumeState::force_rebuild: return "it is rebuilt at its next start";
    case VolumeState::recovering:
      return "shut down cleanly while a recovery was going on: it goes on at the next start";
    case VolumeState::replaying:
      return "a recovery was broken off: it is recovered at its next start";
    case VolumeState::rebuild_for_upgrade: return "it is rebuilt at its next start, for an upgrade";
  }
  return "unknown";
}

Result<VolumeStatistics> stopped_statistics(const std::string& path) {
  auto image = open_volume(path);
  if (!image) return std::move(image).error();
  const SuperBlock& super = (*image)->super_block();
  const AuditSummary found = summarize(**image);
  if (found.by_kind[static_cast<std::size_t>(FindingKind::unreadable)] > 0) {
    return Error(Errc::io, path + ": some of its metadata cannot be read; uvdo check tells what");
  }

  VolumeStatistics s;
  const BlockMapContents& contents = found.contents;
  s.physical_blocks = super.config.physical_blocks;
  s.logical_blocks = super.config.logical_blocks;
  s.logical_blocks_used = contents.mapped_blocks;
  s.data_blocks_used = difference(found.allocated_blocks, contents.tree_pages);
  s.extra.fixed_overhead_blocks =
      difference(super.config.physical_blocks,
                 std::uint64_t{super.depot.slab_count()} * super.depot.slab.data_blocks);
  s.overhead_blocks_used = s.extra.fixed_overhead_blocks + contents.tree_pages;
  s.complete_recoveries = super.complete_recoveries;
  s.read_only_recoveries = super.read_only_recoveries;
  if (super.state == VolumeState::read_only_mode) s.mode = OperatingMode::read_only;
  s.allocator.slab_count = super.depot.slab_count();

  // Each mapped block refers to one of the different contents: whole blocks and fragments.
  const std::uint64_t with_data =
      difference(contents.mapped_blocks, contents.zero_blocks + contents.invalid_entries);
  const std::uint64_t different =
      difference(found.referenced_blocks, found.compressed_blocks) + found.compressed_fragments;
  s.savings.thin_blocks = difference(super.config.logical_blocks, contents.mapped_blocks);
  s.savings.zero_blocks = contents.zero_blocks;
  s.savings.deduplicated_blocks = difference(with_data, different);
  s.savings.compressed_blocks = difference(found.compressed_fragments, found.compressed_blocks);
  s.savings.fragments_mapped = contents.fragment_mappings;
  return s;
}

}  // namespace uvdo
