// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery/start_plan.h"

#include "recovery/rebuild.h"

namespace uvdo {

Task<Result<StartPlan>> make_start_plan(Executor& executor, Device& device,
                                        const VolumeGeometry& geometry,
                                        const SuperBlock& super_block, std::size_t replay_batch,
                                        const LogFunction& log) {
  StartPlan plan;
  plan.super_block = super_block;
  switch (super_block.state) {
    case VolumeState::new_volume:
    case VolumeState::clean: co_return plan;
    case VolumeState::read_only_mode:
      // Nothing is replayed on the disk; whoever reads lays the journal over the map (behaviour.md,
      // 8).
      plan.damage = Error(Errc::read_only,
                          "an earlier error left it so; \"uvdo rebuild\" makes it writable again");
      co_return plan;
    case VolumeState::force_rebuild:
    case VolumeState::rebuild_for_upgrade: {
      log("rebuilding reference counts to clear read-only mode");
      RebuildOptions options;
      options.replay_batch = replay_batch;
      options.log = log;
      auto rebuilt = co_await rebuild_volume(executor, device, geometry, plan.super_block, options);
      if (!rebuilt) co_return std::move(rebuilt).error().within("the rebuild failed");
      log("read-only rebuild complete");
      co_return plan;
    }
    case VolumeState::dirty:
    case VolumeState::replaying:
    case VolumeState::recovering: break;
  }
  plan.scrub_in_background = true;
  plan.ring = journal_ring(super_block);
  auto usable =
      co_await find_usable_journal(PbnDevice(device, geometry.bio_offset), plan.ring, super_block);
  if (!usable) {
    plan.damage = std::move(usable).error();
    co_return plan;
  }
  // No damage but a format of which the entries cannot be replayed (volume.md, 7): the start is
  // refused.
  if (usable->is_of_old_form) co_return old_journal_error();
  if (usable->is_damaged()) {
    for (const std::string& text : usable->damage) {
      log({LogLevel::error, "the recovery journal is damaged: " + text});
    }
    plan.damage = usable->error();
    co_return plan;
  }
  // Saved in the middle of scrubbing: only scrubbing goes on, unless it was in use since.
  if (super_block.state == VolumeState::recovering && !usable->extent.found) co_return plan;
  log({LogLevel::notice, "device was dirty, rebuilding reference counts"});
  // Behind the highest block seen, usable or not, and with a new recovery count: no block of before
  // the crash counts again (behaviour.md, 9.5 and 17).
  ++plan.super_block.complete_recoveries;
  plan.super_block.journal.journal_start = usable->extent.highest_tail + 1;
  plan.super_block.journal.logical_blocks_used = usable->logical_blocks_used;
  plan.super_block.journal.block_map_blocks = usable->block_map_blocks;
  plan.journal = *usable;
  co_return plan;
}

}  // namespace uvdo
