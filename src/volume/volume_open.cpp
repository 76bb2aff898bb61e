// SPDX-License-Identifier: GPL-2.0-or-later
// Opening a volume (behaviour.md, 8 to 10).
#include <fmt/core.h>

#include "base/size_text.h"
#include "format/journal_limits.h"
#include "recovery/replay_crash.h"
#include "volume/memory_plan.h"
#include "volume/volume.h"
#include "volume/volume_headers.h"

namespace uvdo {
namespace {

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

Task<Result<std::unique_ptr<Volume>>> Volume::open(Executor& executor, BackingStore& store,
                                                   const VolumeOptions& options,
                                                   IndexFactory make_index, LogFunction log,
                                                   KeptMemories kept) {
  // What lies there, and how it is to be started; a rebuild is done in here, before the volume is
  // made.
  auto headers = co_await read_volume_headers(store);
  if (!headers) co_return std::move(headers).error();
  const VolumeGeometry& geometry = headers->geometry;
  const SuperBlock& super_block = headers->super_block;
  StartPlan plan;
  plan.super_block = super_block;
  const bool is_for_writing = options.access == VolumeAccess::read_write;
  KeptStart kept_start(std::move(kept.left));
  if (is_for_writing) {
    kept_start.choose(geometry, super_block, log);
    auto finished = Result<void>();
    if (!options.faults.is_on(Fault::kept_journal_left_out)) {
      finished = co_await kept_start.finish_journal(executor, PbnDevice(store, geometry.bio_offset),
                                                    super_block, log);
    }
    if (!finished) co_return std::move(finished).error().within(store.name());
    auto made =
        co_await make_start_plan(executor, store, geometry, super_block, options.replay_batch, log);
    if (!made) co_return std::move(made).error().within(store.name());
    plan = std::move(*made);
  }
  // The parts are made for the sizes of the super block, and read nothing yet.
  std::unique_ptr<Volume> volume(new Volume(executor, store, options, geometry, plan.super_block,
                                            std::move(log),
                                            is_for_writing ? kept.own : MutableBytes()));
  Result<void> opened;
  if (is_for_writing) {
    opened = co_await volume->open_for_writing(plan, super_block, make_index, kept_start);
  } else {
    opened = co_await volume->open_for_reading();
  }
  if (!opened) co_return std::move(opened).error().within(store.name());
  volume->start();
  if (is_for_writing) co_await volume->apply_kept(kept_start);
  co_return volume;
}

Task<Result<void>> Volume::open_for_writing(const StartPlan& plan, const SuperBlock& on_disk,
                                            const IndexFactory& make_index, const KeptStart& kept) {
  Result<void> loaded;
  if (plan.damage) {
    loaded = plan.damage->clone();
  } else if (plan.super_block.journal.journal_start.value() > kLastSequence) {
    // Sequence numbers have 48 bits (volume.md, 1); a recovery may not go on behind the last.
    loaded = Error(Errc::corrupt, "its recovery journal is at the last of its block numbers");
  } else {
    loaded = co_await load(plan, kept);
  }
  if (loaded) {
    index_.use(
        make_index(executor_, gates_.top(), geometry_, on_disk.state == VolumeState::new_volume));
  } else if (admission_.is_given_up()) {
    // Nothing is wrong with the volume: it is as after a crash.
    co_return std::move(loaded).error().within(
        "not started, because there is no room for what a start writes; make some and start it "
        "again");
  } else {
    // Until the volume was marked in use its old super block holds.
    auto done = co_await open_for_salvage(life_.is_in_use() ? super_blocks_.current() : on_disk,
                                          std::move(loaded).error());
    if (!done) co_return done;
  }
  // In use, writes wait for room as long as it takes; a start that finds none fails instead.
  gates_.room.set_patience(RoomGate::Patience::endless);
  co_return Result<void>();
}

/// In the order of behaviour.md, 8: first all that a repetition would do again in the same way,
/// then the mark that the volume is in use, and only then counts are written.
Task<Result<void>> Volume::load(const StartPlan& plan, const KeptStart& kept) {
  auto done = co_await load_ledger(plan);
  // Before the super block says so: whoever finds that finds this memory with it.
  if (done) {
    const bool is_early = options_.faults.is_on(Fault::kept_memory_dropped_early);
    kept_.begin(geometry_, super_blocks_.current(),
                kept.is_due() && !is_early ? KeptPhase::applying : KeptPhase::in_use,
                kept.predecessor());
  }
  if (done) done = co_await mark_in_use();
  if (!done) co_return done;
  life_.enter(VolumeLife::Stage::in_use);
  SlabDepot& depot = ledger_.depot();
  // After a crash only what must be scrubbed is, and the rest in the background. A volume that was
  // CLEAN has all counts read before it is used.
  if (plan.scrub_in_background) co_return co_await depot.scrub_first();
  co_return co_await depot.scrub_all();
}

/// The map before the slabs: both replays read the same journal, and neither needs the other.
Task<Result<void>> Volume::load_ledger(const StartPlan& plan) {
  SlabDepot& depot = ledger_.depot();
  const SuperBlock& super_block = super_blocks_.current();
  if (plan.super_block.state == VolumeState::new_volume) co_return co_await depot.load_new();
  std::optional<Crash> crash;
  if (plan.journal) {
    crash.emplace(Crash{executor_, blocks(), super_block, *plan.journal, plan.ring, log_});
    auto done = co_await recover_block_map(*crash, options_.replay_batch);
    if (!done) co_return done;
  }
  auto done = co_await depot.load_summary(super_block.depot.zone_count);
  if (!done) co_return done;
  if (crash) co_return co_await recover_slabs(*crash, depot);
  co_return co_await depot.load_journals();
}

/// From now on whatever ends the volume without a save is a crash.
Task<Result<void>> Volume::mark_in_use() {
  const auto mark = [this](SuperBlock& next) -> Result<void> {
    next.state = VolumeState::dirty;
    // load_summary() or load_new() has written all areas alike.
    next.depot.zone_count = 1;
    next.unused = geometry_.unused;
    return {};
  };
  if (!options_.faults.is_on(Fault::no_dirty_mark)) co_return co_await super_blocks_.change(mark);
  SuperBlock unwritten = super_blocks_.current();
  auto done = mark(unwritten);
  super_blocks_.begin_with(unwritten);
  co_return done;
}

/// A volume that cannot be started is read as a rebuild would leave it (behaviour.md, 8), and its
/// super block says READ_ONLY_MODE from now on.
Task<Result<void>> Volume::open_for_salvage(const SuperBlock& on_disk, Error reason) {
  // From here on nothing but the super block is written.
  life_.restrict_to(VolumeLife::Use::salvage);
  notifier_.enter(reason);
  super_blocks_.begin_with(on_disk);
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
  auto done = co_await super_blocks_.change([](SuperBlock& next) -> Result<void> {
    next.state = VolumeState::read_only_mode;
    return {};
  });
  // A device that takes no super block is no volume to be used.
  if (!done) co_return std::move(reason);
  co_return done;
}

Task<Result<void>> Volume::open_for_reading() {
  life_.restrict_to(VolumeLife::Use::reading);
  // Entered before on_enter() is set: so it is neither logged nor recorded as a failure.
  notifier_.enter(Error(Errc::read_only, "it is served for reading only"));
  const SuperBlock& super_block = super_blocks_.current();
  if (options_.access == VolumeAccess::read_only) {
    co_return co_await view_through_journal(super_block);
  }
  if (needs_journal(super_block.state)) {
    log_({LogLevel::warning, left_out_text(super_block.state)});
  }
  co_return Result<void>();
}

Task<Result<void>> Volume::view_through_journal(const SuperBlock& on_disk) {
  if (!needs_journal(on_disk.state) || options_.faults.is_on(Fault::read_only_without_journal)) {
    co_return Result<void>();
  }
  // A long journal may hold more changes than the machine has memory for: that is asked before they
  // are gathered.
  const auto has_memory = [&](std::uint64_t changes) {
    return check_view_memory(options_, plan_memory(options_, geometry_, on_disk), changes);
  };
  auto view = co_await view_journal(blocks(), journal_ring(on_disk), on_disk, has_memory);
  if (!view) co_return std::move(view).error();
  view_ = std::move(*view);
  ledger_.map().overlay(view_->changes);
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

void Volume::start() {
  // One for reading only has never been marked.
  if (!life_.is_in_use()) life_.enter(VolumeLife::Stage::in_use);
  notifier_.on_enter([this](const Error& reason) { entered_read_only(reason); });
  maintenance_.start(is_recovering());
  if (!life_.is_for_reading()) trimmer_.start();
  packer_runs_.start(packer_.run());
}

Task<void> Volume::apply_kept(KeptStart& kept) {
  const bool is_writable = !life_.is_for_reading() && !notifier_.is_read_only();
  if (kept.is_due() && is_writable) {
    auto blocks = kept.blocks(entrance_.size() / kBlockSize, log_);
    kept.report().blocks = blocks.size();
    auto done = co_await write_kept(std::move(blocks));
    // Now it is as after a flush of its clients: the memory of the other one is not needed.
    auto flushed = co_await writes_.flush();
    if (done) done = std::move(flushed);
    if (!done) kept.lose(done.error().message(), log_);
  } else if (kept.is_due()) {
    kept.lose("the volume can only be read", log_);
  }
  kept_report_ = kept.report();
  if (kept_.phase() == KeptPhase::applying && !notifier_.is_read_only()) {
    kept_.enter(KeptPhase::in_use);
  }
  if (kept_report_.blocks + kept_report_.entries == 0) co_return;
  log_({LogLevel::notice,
        fmt::format("the server before this one died: {} changes in its journal and {} writes that "
                    "it had answered are applied",
                    kept_report_.entries, kept_report_.blocks)});
}

Task<Result<void>> Volume::write_kept(std::vector<KeptBlock> blocks) {
  constexpr std::uint64_t kUnitsPerBlock = 200;
  Result<void> done;
  for (const KeptBlock& block : blocks) {
    executor_.spend(kUnitsPerBlock);
    co_await give_way(executor_, options_);
    Buffer buffer = co_await buffers_.clients.acquire(kBlockSize);
    if (buffer.data() == nullptr) co_return Refusal::error();
    std::memcpy(buffer.data(), block.data.data(), kBlockSize);
    auto written = co_await writes_.write(block.lbn.value() * kBlockSize, std::move(buffer),
                                          Durability::cached);
    if (!written) done = std::move(written);
  }
  co_return done;
}

}  // namespace uvdo
