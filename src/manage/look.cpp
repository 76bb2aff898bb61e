// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/look.h"

#include <fmt/core.h>

#include "control/server_messages.h"
#include "control/statistics_message.h"
#include "inspect/lvm_pool.h"

namespace uvdo {
namespace {

/// Of a volume that nobody serves, by what its disk says.
Result<VolumeStatus> stopped_status(const std::string& path) {
  auto image = open_volume_to_describe(path);
  if (!image) return std::move(image).error();
  const VolumeState state = (*image)->super_block().state;
  VolumeStatus found;
  found.state = state;
  Health& health = found.status.health;
  // One who asks for the state has an answer, and no error: a stopped volume is a normal one.
  health.summary =
      fmt::format("{} is not being served; it is {} ({}).", path, name_of(state), explain(state));
  if (state == VolumeState::read_only_mode) {
    health.troubles.push_back(
        {TroubleKind::read_only, "An error has left the volume read-only.",
         "Copy what it holds (uvdo export), then see with uvdo rebuild --dry-run what making "
         "it writable again would cost."});
  }
  if (const auto loss = journal_loss_text(**image)) {
    health.troubles.push_back(
        {TroubleKind::journal, fmt::format("Of what it holds something is lost: {}.", *loss),
         "See with uvdo check what else is damaged; compare what matters with a backup."});
  }
  if ((*image)->is_truncated()) {
    health.troubles.push_back(
        {TroubleKind::cut_off, "The file or device is smaller than the volume on it.",
         "Give it back the size that it had (uvdo info tells it) before anything else."});
  }
  found.status.is_well = health.is_well();
  return found;
}

/// What a stopped volume is.
Result<VolumeDescription> describe_image(VolumeImage& image) {
  const SuperBlock& super = image.super_block();
  VolumeDescription d =
      describe_volume(image.geometry(), super, image.store().name(), image.store().size());
  d.logical_blocks_used = image.logical_blocks_used();
  d.block_map_blocks = image.block_map_blocks();
  // Of one that was never started the summary means nothing (volume.md, 4.1).
  d.slabs.never_used = super.depot.slab_count();
  d.slabs.dirty = 0;
  if (super.state != VolumeState::new_volume) {
    auto entries = image.read_slab_summary();
    if (!entries) return std::move(entries).error();
    d.slabs.never_used = 0;
    for (const SlabSummaryEntry& entry : *entries) {
      d.slabs.never_used += entry.is_unused() ? 1 : 0;
      *d.slabs.dirty += entry.dirty ? 1 : 0;
    }
  }
  auto overview = survey_journal(image);
  if (!overview) return std::move(overview).error();
  // What is in the ring, whether or not it is to be replayed.
  d.journal.current_blocks = overview->current_blocks;
  if (overview->current_blocks > 0) {
    d.journal.first_current = overview->first_current.value();
    d.journal.last_current = overview->last_current.value();
  }
  if (const JournalReplay* replay = image.replay(); replay != nullptr && replay->found()) {
    const UsableJournal& usable = replay->view.usable;
    d.journal.replay = VolumeDescription::Replay{
        usable.extent.block_map_head.value(), usable.extent.slab_journal_head.value(),
        usable.last.value(), usable.extent.highest_tail.value(), replay->view.entries};
  }
  d.journal.damage = journal_loss_text(image);
  // Where LVM has put a pool into the volume, for who serves that part alone.
  if (const auto pool = lvm_pool_window(image))
    d.lvm_pool = VolumeDescription::LvmPool{pool->offset, pool->size};
  return d;
}

}  // namespace

Result<VolumeStatus> volume_status(const ServedVolume& served) {
  auto answer = served.ask(StatusRequest());
  if (answer) return VolumeStatus{std::move(*answer)};
  // Only that nobody serves it leads to the disk: what a server could not answer its disk cannot.
  if (answer.error().code() == Errc::not_found) return stopped_status(served.volume);
  return std::move(answer).error();
}

Result<StoppedStatistics> volume_statistics(const ServedVolume& served, ImageOptions options,
                                            const Advise& advise) {
  auto answer = served.ask(StatisticsRequest());
  if (answer) return StoppedStatistics{std::move(answer->statistics)};
  if (answer.error().code() == Errc::not_found) {
    return stopped_statistics(served.volume, options, advise);
  }
  return std::move(answer).error();
}

Result<DescribedVolume> describe_volume(const ServedVolume& served, ImageOptions options) {
  auto answer = served.ask(InfoRequest());
  if (answer) return DescribedVolume{std::move(*answer)};
  if (answer.error().code() != Errc::not_found) return std::move(answer).error();
  auto image = open_volume_to_describe(served.volume, options);
  if (!image) return std::move(image).error();
  auto description = describe_image(**image);
  if (!description) return std::move(description).error();
  return DescribedVolume{std::move(*description), left_out_text(**image)};
}

}  // namespace uvdo
