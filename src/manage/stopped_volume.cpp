// SPDX-License-Identifier: GPL-2.0-or-later
// Opening stopped volumes, and counting what is in them.
#include "manage/stopped_volume.h"

#include <fmt/core.h>

#include "base/saturating.h"
#include "base/size_text.h"
#include "device/open_device.h"
#include "inspect/audit.h"
#include "lease/open_owned.h"

namespace uvdo {

Result<std::unique_ptr<VolumeImage>> open_volume(const std::string& path, ImageOptions options) {
  auto store = open_blocking_device(path, OpenMode::read_only);
  if (!store) return std::move(store).error();
  if (auto unowned = check_is_unowned(**store); !unowned) return std::move(unowned).error();
  return VolumeImage::open(std::move(*store), options);
}

Result<std::unique_ptr<VolumeImage>> open_volume_to_describe(const std::string& path,
                                                             ImageOptions options) {
  auto image = open_volume(path, options);
  if (image || image.error().code() != Errc::unsupported) return image;
  // Its block map and counts are there without the journal.
  options.replay = false;
  return open_volume(path, options);
}

// For people, behind the name of the state; what to do about it where they have to do something.
std::string_view explain(VolumeState state) {
  switch (state) {
    case VolumeState::dirty: return "in use, or not shut down: it is recovered at its next start";
    case VolumeState::new_volume: return "formatted, never started";
    case VolumeState::clean: return "shut down cleanly";
    case VolumeState::read_only_mode:
      return "read-only after an error: it must be rebuilt before it is written";
    case VolumeState::force_rebuild: return "it is rebuilt at its next start";
    case VolumeState::recovering:
      return "shut down cleanly while a recovery was going on: it goes on at the next start";
    case VolumeState::replaying:
      return "a recovery was broken off: it is recovered at its next start";
    case VolumeState::rebuild_for_upgrade: return "it is rebuilt at its next start, for an upgrade";
  }
  return "unknown";
}

std::optional<std::string> replay_text(const VolumeImage& image) {
  // A journal in which nothing was found was read all the same: there is nothing to tell of.
  const JournalReplay* const replay = image.replay();
  if (replay == nullptr || !replay->found()) return std::nullopt;
  return fmt::format("seen as a {} would leave it: {} journal entries replayed in memory",
                     image.is_seen_as_rebuilt() ? "rebuild" : "recovery",
                     grouped(replay->view.entries));
}

std::optional<std::string> journal_loss_text(const VolumeImage& image) {
  const JournalReplay* const replay = image.replay();
  if (replay == nullptr || !replay->is_damaged()) return std::nullopt;
  const JournalView& view = replay->view;
  // One cause is enough here; a check tells all.
  const std::string& first =
      replay->unreadable.empty() ? view.losses.front() : replay->unreadable.front();
  return fmt::format(
      "the recovery journal is damaged ({}): of up to {} logical blocks, and nothing tells which, "
      "the last flushed contents are lost; they hold what they held before, or what others have "
      "stored since",
      first, grouped(view.blocks_affected()));
}

std::optional<std::string> left_out_text(const VolumeImage& image) {
  const VolumeState state = image.super_block().state;
  // Left out of a clean volume nothing is missing.
  if (image.replay() != nullptr || !needs_journal(state)) return std::nullopt;
  return left_out_text(state);
}

Result<StoppedStatistics> stopped_statistics(const std::string& path, ImageOptions options,
                                             const Advise& advise) {
  auto image = open_volume(path, options);
  if (!image) return std::move(image).error();
  StoppedStatistics result;
  const SuperBlock& super = (*image)->super_block();
  const AuditSummary found = summarize(**image);
  // Figures that leave out what cannot be read would be taken for those of the volume.
  if (found.by_kind[static_cast<std::size_t>(FindingKind::unreadable)] > 0) {
    return Error(Errc::io, path + ": some of its metadata cannot be read" +
                               advise({Obstacle::Kind::unreadable_metadata}));
  }

  result.left_out = left_out_text(**image);
  result.problem = journal_loss_text(**image);
  if (!result.problem && found.contents.damaged_blocks > 0) {
    result.problem =
        fmt::format("{} logical blocks are not counted, since the block map is damaged{}",
                    grouped(found.contents.damaged_blocks), advise({Obstacle::Kind::damaged_map}));
  }
  VolumeStatistics& s = result.statistics;
  const BlockMapContents& contents = found.contents;
  s.physical_blocks = super.config.physical_blocks;
  s.logical_blocks = super.config.logical_blocks;
  s.logical_blocks_used = contents.mapped_blocks;
  // Pages of the map are overhead, in whichever slab they lie.
  s.data_blocks_used = difference(found.allocated_blocks, contents.tree_pages);
  s.extra.fixed_overhead_blocks =
      difference(super.config.physical_blocks,
                 std::uint64_t{super.depot.slab_count()} * super.depot.slab.data_blocks);
  s.overhead_blocks_used = s.extra.fixed_overhead_blocks + contents.tree_pages;
  s.complete_recoveries = super.complete_recoveries;
  s.read_only_recoveries = super.read_only_recoveries;
  if (super.state == VolumeState::read_only_mode) s.mode = OperatingMode::read_only;
  s.extra.is_counted = true;
  s.allocator.slab_count = super.depot.slab_count();

  // Each mapped block refers to one of the different contents: whole blocks and fragments.
  const std::uint64_t with_data =
      difference(contents.mapped_blocks, contents.zero_blocks + contents.invalid_entries);
  const std::uint64_t different =
      difference(found.referenced_blocks, found.compressed_blocks) + found.compressed_fragments;
  s.savings.thin_blocks = difference(super.config.logical_blocks, contents.mapped_blocks);
  s.savings.zero_blocks = contents.zero_blocks;
  s.savings.deduplicated_blocks = difference(with_data, different);
  // A compressed block takes the place of its fragments, and is one itself.
  s.savings.compressed_blocks = difference(found.compressed_fragments, found.compressed_blocks);
  s.savings.fragments_mapped = contents.fragment_mappings;
  return result;
}

}  // namespace uvdo
