// SPDX-License-Identifier: GPL-2.0-or-later
// Opening a volume (behaviour.md, 8) and stopping it (11).
#include <fmt/core.h>

#include "format/journal_limits.h"
#include "volume/pool_sizes.h"
#include "volume/start_plan.h"
#include "volume/volume.h"
#include "volume/volume_headers.h"
#include "volume/write_job.h"

namespace uvdo {

Volume::Volume(Executor& executor, BackingStore& store, const VolumeOptions& options,
               const VolumeGeometry& geometry, const SuperBlock& super_block, LogFunction log)
    : executor_(executor),
      store_(store),
      room_(executor, store, options.no_space_timeout, RoomGate::Patience::limited),
      gate_(executor, room_),
      hold_(executor, gate_),
      device_(hold_),
      options_(options),
      geometry_(geometry),
      super_block_store_(executor, gate_, geometry.device_byte(geometry.data_start), super_block),
      log_(std::move(log)),
      index_operation_(executor, 1),
      requests_gate_(executor),
      patient_requests_(executor),
      buffers_(executor, options.buffer_bytes),
      merge_buffers_(executor, options.internal_buffer_bytes),
      part_buffers_(executor, options.internal_buffer_bytes / 4),
      scratch_buffers_(executor, options.internal_buffer_bytes),
      fragment_buffers_(executor, options.internal_buffer_bytes),
      locks_(executor, blocks_at_once(options)),
      hash_locks_(executor, blocks_at_once(options)),
      writes_(executor, notifier_),
      ways_to_packer_(executor, notifier_),
      parked_(parked_blocks(options)),
      write_jobs_(std::make_unique<ObjectPool<WriteJob>>(options.write_jobs)),
      job_finished_(executor),
      gather_alarm_(executor),
      fragment_(kBlockSize),
      identity_(kBlockSize),
      administration_(executor, 1),
      administrators_(executor),
      background_(executor),
      walks_(executor),
      jobs_(executor),
      commit_alarm_(executor),
      write_back_alarm_(executor) {
  notifier_.set_faults(options.faults);
  room_.on_state([this](RoomGate::State state) { room_has_changed(state); });
  if (options.work.thread() != nullptr) store.share_reads(&options.work.thread()->batches());
  writes_.reserve(kGenerations);
  ways_to_packer_.reserve(kGenerations);
  RecoveryJournalConfig journal;
  const Partition ring = super_block.find(PartitionId::recovery_journal);
  journal.start = ring.start;
  journal.size = ring.blocks;
  journal.nonce = super_block.nonce;
  journal.recovery_count = super_block.recovery_count();
  journal.tail = super_block.journal.journal_start;
  journal.logical_blocks_used = super_block.journal.logical_blocks_used;
  journal.block_map_blocks = super_block.journal.block_map_blocks;
  journal_ = std::make_unique<RecoveryJournal>(executor, blocks(), notifier_, journal);
  depot_ = std::make_unique<SlabDepot>(executor, blocks(), super_block, *journal_, notifier_,
                                       depot_pools(options));
  BlockMapConfig map;
  map.nonce = super_block.nonce;
  map.root_origin = super_block.block_map.root_origin;
  map.slabs = SlabLayout(super_block.depot);
  map.logical_blocks = super_block.config.logical_blocks;
  map.cache_pages = options.block_map_cache_pages;
  map.maximum_age = options.block_map_maximum_age;
  map_ = std::make_unique<BlockMap>(executor, blocks(), *journal_, notifier_,
                                    static_cast<PageAllocator&>(*this), map);
  data_writer_ = std::make_unique<DataWriter>(executor, blocks());
  packer_ = std::make_unique<Packer>(executor, *data_writer_, static_cast<BinAllocator&>(*this),
                                     depot_->epochs(), options.packer_fragments);
}

Volume::~Volume() { store_.share_reads(nullptr); }

std::uint64_t Volume::size() const { return super_block_.config.logical_blocks * kBlockSize; }

Task<Result<std::unique_ptr<Volume>>> Volume::open(Executor& executor, BackingStore& store,
                                                   const VolumeOptions& options,
                                                   IndexFactory make_index, LogFunction log) {
  auto headers = co_await read_volume_headers(store);
  if (!headers) co_return std::move(headers).error();
  const VolumeGeometry& geometry = headers->geometry;
  const SuperBlock& super_block = headers->super_block;
  if (options.access != VolumeAccess::read_write) {
    std::unique_ptr<Volume> volume(
        new Volume(executor, store, options, geometry, super_block, std::move(log)));
    auto opened = co_await volume->open_for_reading();
    if (!opened) co_return std::move(opened).error().within(store.name());
    volume->start_background();
    co_return volume;
  }
  auto plan =
      co_await make_start_plan(executor, store, geometry, super_block, options.replay_batch, log);
  if (!plan) co_return std::move(plan).error().within(store.name());
  if (!plan->damage && plan->super_block.journal.journal_start.value() > kLastSequence) {
    plan->damage = Error(Errc::corrupt, "its recovery journal is at the last of its block numbers");
  }
  std::unique_ptr<Volume> volume(
      new Volume(executor, store, options, geometry, plan->super_block, std::move(log)));
  Result<void> loaded;
  if (plan->damage) {
    loaded = std::move(*plan->damage);
  } else {
    loaded = co_await volume->load(*plan);
  }
  if (loaded) {
    volume->index_ = make_index(executor, volume->device_, geometry,
                                super_block.state == VolumeState::new_volume);
    if (volume->index_) volume->index_->set_enabled(options.deduplication);
  } else if (volume->room_.state() == RoomGate::State::given_up) {
    // Nothing is wrong with the volume: it is as after a crash.
    co_return std::move(loaded).error().within(
        fmt::format("{} was not started, because there is no room for what a start writes; make "
                    "some and start it again",
                    store.name()));
  } else {
    // Until the volume was marked in use its old super block holds.
    const SuperBlock& on_disk = volume->is_loaded_ ? volume->super_block_ : super_block;
    auto done = co_await volume->open_read_only(on_disk, std::move(loaded).error());
    if (!done) co_return std::move(done).error().within(store.name());
  }
  volume->room_.set_patience(RoomGate::Patience::endless);
  volume->start_background();
  co_return volume;
}

Task<Result<void>> Volume::load(const StartPlan& plan) {
  Result<void> done;
  if (plan.super_block.state == VolumeState::new_volume) {
    done = co_await depot_->load_new();
  } else {
    if (plan.journal) done = co_await recover_block_map(plan);
    if (done) done = co_await depot_->load_summary(super_block_.depot.zone_count);
    if (done && plan.journal) {
      done = co_await recover_slabs(plan);
    } else if (done) {
      done = co_await depot_->load_journals();
    }
  }
  if (!done) co_return done;
  // From now on the volume is in use: whatever ends it without a save is a crash.
  const auto mark = [this](SuperBlock& next) -> Result<void> {
    next.state = VolumeState::dirty;
    next.depot.zone_count = 1;
    next.unused = geometry_.unused;
    return {};
  };
  if (notifier_.is_on(Fault::no_dirty_mark)) {
    SuperBlock unwritten = super_block_;
    done = mark(unwritten);
    super_block_store_.begin_with(unwritten);
  } else {
    done = co_await super_block_store_.change(mark);
  }
  if (!done) co_return done;
  is_loaded_ = true;
  if (plan.scrub_in_background) co_return co_await depot_->scrub_first();
  co_return co_await depot_->scrub_all();
}

Task<Result<void>> Volume::stop() {
  auto resumed = co_await end_suspension();
  // Requests that are under way end; new ones are refused.
  stopping_ = true;
  co_await administration_.acquire();  // a growth under way ends; others see stopping_
  administration_.release();
  co_await administrators_.drain();
  if (abandoned_) {
    auto ended = co_await stop_abandoned();
    co_return resumed ? std::move(ended) : std::move(resumed);
  }
  requests_gate_.abandon();
  co_await drain_writes();
  co_await requests_gate_.drain();
  co_await walks_.wait();
  // Until then somebody may have waited for what the background does.
  ending_ = true;
  packer_->stop();
  commit_alarm_.ring();
  write_back_alarm_.ring();
  co_await background_.wait();
  co_await jobs_.wait();
  co_await data_writer_->wait_idle();
  if (opened_read_only_) co_return Result<void>();  // there is nothing to save
  auto done = co_await save(true);
  co_await jobs_.wait();  // a failure has to be recorded before the volume goes away
  if (!done && room_.state() == RoomGate::State::given_up) co_return given_up_error();
  co_return done;
}

Task<Result<void>> Volume::save(bool for_good) {
  Result<void> done;
  if (notifier_.is_read_only()) done = notifier_.error();
  // First what clients were told: there may be no room for the index.
  if (done) done = co_await journal_->commit_all();
  all_committed_ = done.ok();
  if (index_) {
    co_await index_operation_.acquire();
    Result<void> saved;
    if (for_good) {
      saved = co_await index_->save();
    } else {
      saved = co_await index_->checkpoint();
    }
    index_operation_.release();
    if (!saved) {
      log_(
          {LogLevel::warning, fmt::format("the index was not saved: {}", saved.error().message())});
    }
  }
  if (done) done = co_await map_->save();
  if (done) done = co_await depot_->save();
  if (!done) co_return done;
  done = co_await super_block_store_.change([this](SuperBlock& next) -> Result<void> {
    // What goes on in the background may have failed since.
    if (notifier_.is_read_only()) return notifier_.error();
    next.state = VolumeState::clean;
    next.journal.journal_start = journal_->close_block();
    next.journal.logical_blocks_used = journal_->logical_blocks_used();
    next.journal.block_map_blocks = journal_->block_map_blocks();
    return {};
  });
  if (done) depot_->continue_after_save();
  co_return done;
}

}  // namespace uvdo
