// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/rebuild.h"

#include <fmt/core.h>

#include "async/uring_loop.h"
#include "base/file_checks.h"
#include "base/size_text.h"
#include "format/journal_view.h"
#include "format/slab_layout.h"
#include "index/bounded_memory_index.h"
#include "manage/open_stopped.h"
#include "manage/stopped_volume.h"
#include "volume/super_block_store.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

/// What a rebuild writes, and where its file has no room for that yet.
class RebuildWrites {
 public:
  RebuildWrites(BackingStore& device, const VolumeHeaders& headers)
      : device_(device), blocks_(device, headers.geometry.bio_offset), headers_(headers) {
    writes_.end = volume_end(headers.geometry, headers.super_block);
  }

  Result<PlannedWrites> plan() {
    const SuperBlock& super = headers_.super_block;
    for (const PartitionId id : {PartitionId::recovery_journal, PartitionId::slab_summary}) {
      const Partition partition = super.find(id);
      add(partition.start, partition.blocks);
    }
    const SlabLayout slabs(super.depot);
    // All slabs get an empty journal; counts only those with data (behaviour.md, 10).
    const std::uint64_t data = slabs.data_blocks();
    for (SlabNumber slab = 0; slab < slabs.slab_count(); ++slab) {
      add(slabs.journal_block_at(slab, 0), super.depot.slab.slab_journal_blocks);
      // Of a slab that was never used no counts are written.
      if (holes(slabs.slab_start(slab), data) == data * kBlockSize) continue;
      add(slabs.reference_block(slab, 0), super.depot.slab.reference_count_blocks);
    }
    // Where a file is preallocated its holes have room: room_for() reckons with all of them.
    writes_.all_holes = told(device_.holes(0, writes_.end));
    if (!failed_) return std::move(failed_).error();
    return writes_;
  }

 private:
  void add(Pbn first, std::uint64_t blocks) {
    writes_.bytes += blocks * kBlockSize;
    writes_.holes += holes(first, blocks);
  }
  std::uint64_t holes(Pbn first, std::uint64_t blocks) {
    return told(device_.holes(blocks_.byte_of(first), blocks * kBlockSize));
  }
  std::uint64_t told(Result<std::uint64_t> bytes) {
    if (bytes) return *bytes;
    failed_ = std::move(bytes).error();
    return 0;
  }

  const BackingStore& device_;
  PbnDevice blocks_;
  const VolumeHeaders& headers_;
  PlannedWrites writes_;
  Result<void> failed_;
};

/// Nothing is begun that would have to be broken off half-way.
Result<void> check_room(BackingStore& device, const VolumeHeaders& headers) {
  auto state = device.look();
  if (!state) return std::move(state).error();
  // A disk has the room for all its blocks.
  if (!state->is_file) return {};
  auto writes = RebuildWrites(device, headers).plan();
  if (!writes) return std::move(writes).error();
  // A file system takes blocks of its own for what it writes.
  constexpr std::uint64_t kForTheFileSystem = 1U << 20U;
  const std::uint64_t needed = room_for(*writes, *state);
  if (needed > 0 && needed + kForTheFileSystem > state->free) {
    return Error(Errc::no_space,
                 fmt::format("it writes up to {} to places for which there is no room yet, and the "
                             "file system has {} free; make room there first",
                             size_text(needed + kForTheFileSystem), size_text(state->free)));
  }
  return check_file_size_limit(device.name(), writes->end);
}

/// What the rebuild would do, without changing anything.
Task<Result<RebuildReport>> survey(Executor& executor, Device& device, VolumeHeaders headers) {
  RebuildOptions options;
  options.dry_run = true;
  co_return co_await rebuild_volume(executor, device, headers.geometry, headers.super_block,
                                    options);
}

/// Marks the volume for a rebuild, which then any start does, and starts and stops it.
Task<Result<void>> rebuild(Executor& executor, BackingStore& device, VolumeHeaders headers,
                           LogFunction log) {
  // That state leads to a rebuild already, and counts none (volume.md, 4.1).
  if (headers.super_block.state != VolumeState::rebuild_for_upgrade) {
    headers.super_block.state = VolumeState::force_rebuild;
    auto marked = co_await write_super_block(PbnDevice(device, headers.geometry.bio_offset),
                                             headers.geometry.data_start, headers.super_block);
    if (!marked) co_return marked;
  }
  VolumeOptions options;
  // The start walks the map once; a cache for clients would only be memory.
  options.block_map_cache_pages = 4096;
  // The volume's own index is left as it is; this one in memory is asked nothing.
  IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
    return std::make_unique<BoundedMemoryIndex>(1024);
  };
  auto volume = co_await Volume::open(executor, device, options, factory, std::move(log));
  if (!volume) co_return std::move(volume).error();
  Result<void> done;
  // A rebuild that failed leaves a volume that opens, but may not be written.
  if ((*volume)->is_read_only()) done = (*volume)->notifier().error();
  // The stop saves what was rebuilt: without it a recovery would follow.
  auto stopped = co_await (*volume)->stop();
  if (done) done = std::move(stopped);
  co_return done;
}

Error not_begun(const Error& why) { return why.within("the rebuild was not begun"); }

/// The rebuild after its survey.
Task<Result<bool>> go_on(UringLoop& loop, BackingStore& device, const VolumeHeaders& headers,
                         const StoppedRebuildOptions& options, std::uint64_t losses) {
  if (options.dry_run) co_return false;
  if (losses > 0 && !options.accepts_losses) {
    co_return Error(Errc::corrupt,
                    "the rebuild was not begun, because it would lose what its survey tells" +
                        options.advise({Obstacle::Kind::would_lose_data}));
  }
  auto has_room = check_room(device, headers);
  if (!has_room) co_return not_begun(has_room.error()).within(options.volume);
  auto done = co_await rebuild(loop, device, headers, options.log);
  if (!done) co_return done.error().within(options.volume);
  co_return true;
}

Task<void> run(UringLoop& loop, const StoppedRebuildOptions& options,
               Result<StoppedRebuild>& outcome) {
  // A survey keeps others from writing, and no reader away.
  const OpenMode mode = options.dry_run ? OpenMode::read_only : OpenMode::read_write;
  auto opened = co_await open_stopped(loop, options.volume, mode);
  if (!opened) {
    outcome = std::move(opened).error();
    co_return;
  }
  auto& [device, headers] = *opened;
  const VolumeState state = headers.super_block.state;
  if (!needs_rebuild(state) && !options.force) {
    outcome = Error(
        Errc::invalid_argument,
        fmt::format("{} is in state {} ({}) and needs no rebuild{}", options.volume, name_of(state),
                    explain(state), options.advise({Obstacle::Kind::needs_no_rebuild})));
    co_return;
  }
  auto report = co_await survey(loop, *device, headers);
  if (!report) {
    const Error why = options.dry_run ? std::move(report).error() : not_begun(report.error());
    outcome = why.within(options.volume);
    co_return;
  }
  // Before anything is changed, and before it is decided whether to go on.
  options.surveyed(*report);
  auto rebuilt = co_await go_on(loop, *device, headers, options, report->losses());
  outcome = StoppedRebuild{state, std::move(*report), std::move(rebuilt)};
}

}  // namespace

Result<StoppedRebuild> rebuild_stopped_volume(const StoppedRebuildOptions& options) {
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<StoppedRebuild> outcome = StoppedRebuild();
  (*loop)->run(run(**loop, options, outcome));
  return outcome;
}

}  // namespace uvdo
