// SPDX-License-Identifier: GPL-2.0-or-later
// Starting a volume that was not shut down, or that can only be read (behaviour.md, 8 to 10).
//
// Until the super block is written at the end, a recovery leaves the recovery journal and all that
// tells where it begins as they were: broken off at any point, it is repeated from the start.
#include <fmt/core.h>

#include "base/size_text.h"
#include "blockmap/page_replay.h"
#include "recovery/rebuild.h"
#include "volume/memory_plan.h"
#include "volume/start_plan.h"

namespace uvdo {
namespace {

/// Passes on what the usable entries of a recovery journal block demand of block map pages.
template <typename Function>
void for_each_change(ConstBytes block, Function&& function) {
  const UsableEntries usable = usable_journal_entries(block, decode_journal_header(block));
  for (unsigned i = 0; i < usable.count; ++i) {
    const JournalEntry entry = journal_entry(block, i);
    function(PageChange(entry.page_pbn, entry.slot, entry.new_mapping));
    // The new page itself may not have been written, and perhaps never will be.
    if (entry.operation == JournalOperation::block_map_remapping) {
      function(PageReplay::touched(entry.new_mapping.pbn));
    }
  }
}

/// Bytes of changes for which it is not asked whether there is memory.
constexpr std::uint64_t kAlwaysThere = 16ULL << 20U;

/// Whether the process can have memory for `changes` bytes of changes beside all that is planned.
Result<void> check_view_memory(const VolumeOptions& options, const MemoryPlan& plan,
                               std::uint64_t changes) {
  if (!options.memory_within_reach || changes <= kAlwaysThere) return {};
  const MachineMemory reach = options.memory_within_reach();
  const std::uint64_t needed = plan.total() + changes;
  if (needed <= reach.bytes) return {};
  return Error(
      Errc::no_memory,
      fmt::format("to read it, up to {} of memory are needed, {} of them for the changes "
                  "in its recovery journal, but {} is {}",
                  size_text(needed), size_text(changes), reach.limit, size_text(reach.bytes)));
}

}  // namespace

Task<Result<Volume::StartPlan>> Volume::make_start_plan(Executor& executor, Device& device,
                                                        const VolumeGeometry& geometry,
                                                        const SuperBlock& super_block,
                                                        std::size_t replay_batch,
                                                        const LogFunction& log) {
  StartPlan plan;
  plan.super_block = super_block;
  switch (super_block.state) {
    case VolumeState::new_volume:
    case VolumeState::clean: co_return plan;
    case VolumeState::read_only_mode:
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
  ++plan.super_block.complete_recoveries;
  plan.super_block.journal.journal_start = usable->extent.highest_tail + 1;
  plan.super_block.journal.logical_blocks_used = usable->logical_blocks_used;
  plan.super_block.journal.block_map_blocks = usable->block_map_blocks;
  plan.journal = *usable;
  co_return plan;
}

Task<Result<void>> Volume::recover_block_map(const StartPlan& plan) {
  const UsableJournal& journal = *plan.journal;
  if (!journal.extent.found) co_return Result<void>();
  log_(fmt::format("replaying {} recovery entries into block map", journal.entries));
  JournalReader reader(blocks(), plan.ring);
  PageReplay replay(executor_, blocks(), super_block_.nonce, PageReplay::Damage::fail,
                    options_.replay_batch);
  std::vector<ReplayRanges::Range> ranges(1);
  if (journal.entries > options_.replay_batch) {
    ReplayRanges counted(super_block_.config.physical_blocks);
    for (JournalSequence s = journal.extent.block_map_head; s <= journal.last; ++s) {
      auto block = co_await reader.block(s);
      if (!block) co_return std::move(block).error();
      for_each_change(*block, [&](const PageChange& change) { counted.count(change.page()); });
    }
    ranges = counted.ranges(options_.replay_batch);
  }
  for (const ReplayRanges::Range range : ranges) {
    for (JournalSequence s = journal.extent.block_map_head; s <= journal.last; ++s) {
      auto block = co_await reader.block(s);
      if (!block) co_return std::move(block).error();
      for_each_change(*block, [&](const PageChange& change) {
        if (range.contains(change.page())) replay.add(change);
      });
      if (!replay.is_full()) continue;
      auto applied = co_await replay.apply();
      if (!applied) co_return applied;
    }
    auto applied = co_await replay.apply();
    if (!applied) co_return applied;
  }
  co_return co_await device_.flush();
}

Task<Result<void>> Volume::recover_slabs(const StartPlan& plan) {
  const UsableJournal& journal = *plan.journal;
  auto done = co_await depot_->load_journal_tails();
  if (!done) co_return done;
  if (const JournalPoint newest = depot_->newest_recovery_point(); !journal.covers(newest)) {
    co_return Error(
        Errc::corrupt,
        fmt::format("the recovery journal is damaged: a slab has what was stable in its "
                    "block {}, and it can be used only up to block {}",
                    newest.sequence, journal.last.value()));
  }
  std::uint64_t added = 0;
  if (journal.extent.found) {
    JournalReader reader(blocks(), plan.ring);
    for (JournalSequence s = journal.extent.slab_journal_head; s <= journal.last; ++s) {
      auto block = co_await reader.block(s);
      if (!block) co_return std::move(block).error();
      const UsableEntries usable = usable_journal_entries(*block, decode_journal_header(*block));
      for (unsigned i = 0; i < usable.count; ++i) {
        if (depot_->is_recovery_full()) {
          done = co_await depot_->write_recovered(false);
          if (!done) co_return done;
        }
        const JournalEntry entry = journal_entry(*block, i);
        const JournalPoint point{s.value(), static_cast<std::uint16_t>(i)};
        bool is_missing = false;
        if (entry.new_mapping.pbn != kZeroPbn) {
          is_missing =
              depot_->recover_change(entry.new_mapping.pbn,
                                     entry.operation == JournalOperation::block_map_remapping
                                         ? ReferenceOperation::block_map_increment
                                         : ReferenceOperation::data_increment,
                                     point);
        }
        if (entry.old_mapping.pbn != kZeroPbn) {
          is_missing |= depot_->recover_change(entry.old_mapping.pbn,
                                               ReferenceOperation::data_decrement, point);
        }
        added += is_missing ? 1U : 0U;
      }
    }
    done = co_await depot_->write_recovered(true);
    if (!done) co_return done;
    log_(fmt::format("replayed {} journal entries into slab journals", added));
  }
  depot_->load_unused();
  log_(fmt::format("rebuild complete: {} slabs wait for scrubbing", depot_->unscrubbed()));
  co_return done;
}

Task<void> Volume::scrub_in_background() {
  log_({LogLevel::notice,
        fmt::format("entering recovery mode: the counts of {} slabs are made out while the volume "
                    "is in use",
                    depot_->unscrubbed())});
  // Also while the volume is being stopped: saved half-way it would be in a state (RECOVERING)
  // after which a kernel that crashes does not replay its journal.
  while (depot_->unscrubbed() > 0 && !notifier_.is_read_only()) {
    auto done = co_await depot_->scrub_next();
    if (!done) notifier_.enter(std::move(done).error());
    co_await executor_.next_turn();
  }
  if (!notifier_.is_read_only()) log_({LogLevel::notice, "exiting recovery mode"});
}

unsigned Volume::recovery_percentage() const {
  const std::uint64_t slabs = depot_->slab_count();
  if (slabs == 0 || !is_recovering()) return 100;
  return static_cast<unsigned>(difference(slabs, depot_->unscrubbed()) * 100 / slabs);
}

Task<Result<void>> Volume::open_read_only(const SuperBlock& on_disk, Error reason) {
  opened_read_only_ = true;
  notifier_.enter(reason);
  super_block_store_.begin_with(on_disk);
  // A rebuild is what can be hoped for.
  SuperBlock seen = on_disk;
  if (!needs_rebuild(seen.state)) seen.state = VolumeState::read_only_mode;
  auto viewed = co_await view_through_journal(seen);
  if (!viewed) co_return std::move(viewed).error().within(reason.message());
  if (on_disk.state == VolumeState::read_only_mode) {
    log_({LogLevel::warning,
          fmt::format("the volume is opened for reading only: {}", reason.message())});
    co_return Result<void>();
  }
  log_({LogLevel::error,
        fmt::format("unrecoverable error, entering read-only mode: {}", reason.message())});
  auto done = co_await super_block_store_.change([](SuperBlock& next) -> Result<void> {
    next.state = VolumeState::read_only_mode;
    return {};
  });
  // A device that takes no super block is no volume to be used.
  if (!done) co_return std::move(reason);
  co_return done;
}

Task<Result<void>> Volume::open_for_reading() {
  opened_read_only_ = true;
  notifier_.enter(Error(Errc::read_only, "it is served for reading only"));
  if (options_.access == VolumeAccess::read_only)
    co_return co_await view_through_journal(super_block_);
  if (needs_journal(super_block_.state)) {
    log_({LogLevel::warning,
          fmt::format("the volume is {}, and its recovery journal is left out: flushed data may be "
                      "missing, or be other data",
                      name_of(super_block_.state))});
  }
  co_return Result<void>();
}

Task<Result<void>> Volume::view_through_journal(const SuperBlock& on_disk) {
  if (!needs_journal(on_disk.state) || notifier_.is_on(Fault::read_only_without_journal)) {
    co_return Result<void>();
  }
  const auto has_memory = [&](std::uint64_t changes) {
    return check_view_memory(options_, plan_memory(options_, geometry_, on_disk), changes);
  };
  auto view = co_await view_journal(blocks(), journal_ring(on_disk), on_disk, has_memory);
  if (!view) co_return std::move(view).error();
  view_ = std::move(*view);
  map_->overlay(view_->changes);
  if (!view_->changes.empty()) {
    log_(fmt::format("{} recovery entries are replayed in memory: {} changes of the block map, {}",
                     view_->entries, view_->changes.size(),
                     size_text(view_->changes.size() * sizeof(PageChange))));
  }
  for (const std::string& text : view_->losses) log_({LogLevel::error, text});
  if (view_->blocks_affected() > 0) {
    log_({LogLevel::error,
          fmt::format("of up to {} logical blocks the last flushed contents are lost, and nothing "
                      "tells which",
                      view_->blocks_affected())});
  }
  co_return Result<void>();
}

}  // namespace uvdo
