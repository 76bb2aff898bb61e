// SPDX-License-Identifier: GPL-2.0-or-later
// A VDO volume in use: who is who, how it is opened, and how it ends. What it does for its clients
// and behind them is done by its parts, each of which has members of its own and is given from here
// what it needs of the others:
//
//   WritePath, ReadPath, Discarder   the requests of clients, let in by Entrance
//   Placement                        from data to a mapping, with Deduplication, Packing, MapUpdate
//   Ledger                           journal, counts and map: what is known of the blocks
//   Maintenance                      commits, writing back, scrubbing
//   Suspension, Growth, IndexHolder  changes of the volume while it is in use, and Saver
//   WriteAdmission, ReadOnlyRecord      what happens where the device has no room, or fails
//
// One thread runs all of it. In memory a change counts at once; what must be on disk before what
// follows from the points of the recovery journal (journal/recovery_journal.h).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "block/block_service.h"
#include "format/journal_view.h"
#include "recovery/start_plan.h"
#include "statistics/statistics.h"
#include "volume/discarder.h"
#include "volume/growth_in_use.h"
#include "volume/kept_start.h"
#include "volume/savings_walk.h"
#include "volume/suspension.h"
#include "volume/trimmer.h"

namespace uvdo {

/// Members are made in the order in which they stand and end in the opposite one: each part refers,
/// callbacks apart, only to those above it. All calls are made on the executor's thread; what one
/// returns a Task for may wait.
class Volume final : public BlockService, private BinAllocator {
 public:
  /// Opens the volume on `store` and, if it is to be written, marks it in use. One that cannot be
  /// written, since an error left it read-only or does so now, is opened for reading, with what its
  /// journal says kept in memory. Lines for people go to `log`. `kept`: memory that outlives
  /// processes; what one that died had answered is on disk when this ends (kept_report()).
  static Task<Result<std::unique_ptr<Volume>>> open(Executor& executor, BackingStore& store,
                                                    const VolumeOptions& options,
                                                    IndexFactory make_index, LogFunction log,
                                                    KeptMemories kept = {});
  ~Volume() override;

  // ---- BlockService
  [[nodiscard]] std::uint64_t size() const override { return entrance_.size(); }
  [[nodiscard]] bool is_read_only() const override { return notifier_.is_read_only(); }
  [[nodiscard]] bool has_failed() const override { return notifier_.is_read_only(); }
  BufferPool& buffers() override { return buffers_.clients; }
  Task<Result<void>> read(std::uint64_t offset, MutableBytes out) override {
    return reads_.read(offset, out);
  }
  Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) override {
    return writes_.write(offset, std::move(data), durability);
  }
  Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                             Durability durability) override {
    return discarder_.discard(offset, length, durability);
  }
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                  Durability durability) override {
    return discarder_.write_zeroes(offset, length, mode, durability);
  }
  Task<Result<void>> flush() override { return writes_.flush(); }
  Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                            std::size_t limit) override {
    return reads_.extents(offset, length, limit);
  }

  // ---- its life

  /// Whether it was opened for reading only, because somebody wished it.
  [[nodiscard]] bool is_opened_for_reading() const {
    return options_.access != VolumeAccess::read_write;
  }
  /// What its journal says, if it was opened for reading and has one that counts.
  [[nodiscard]] const JournalView* journal_view() const { return view_ ? &*view_ : nullptr; }
  /// Whether slabs still wait for scrubbing after a crash; the volume is used as ever meanwhile.
  [[nodiscard]] bool is_recovering() const { return life_.is_in_use() && ledger_.is_recovering(); }
  /// How far that has come: 0..100.
  [[nodiscard]] unsigned recovery_percentage() const { return ledger_.recovery_percentage(); }
  /// What its start has found in the memory of processes that died.
  [[nodiscard]] const KeptReport& kept_report() const { return kept_report_; }
  /// Enters read-only mode for something that was found out elsewhere: what is on the device must
  /// not be relied on any more.
  void fail(const Error& reason) { notifier_.enter(reason); }
  /// Finishes all requests, writes everything and marks the volume clean. Afterwards the volume can
  /// only be destroyed. An error means that it was left as it is on disk (to be recovered).
  Task<Result<void>> stop();
  [[nodiscard]] bool is_stopped() const { return life_.is_stopping(); }

  // ---- changes while it is in use

  /// Gives the volume its new logical size, physical size, or both, in one step. A file is made
  /// longer for the physical one. invalid_argument: too small or too large; no_space: the device is
  /// not so large; no_memory: the machine has not what the larger one needs; busy: it is suspended,
  /// or recovers (physical growth); read_only. It keeps both sizes then.
  Task<Result<void>> grow(GrowthRequest request) { return growth_.grow(request); }

  /// Ends what is under way, then lets the device alone: nothing reaches it any more, its lock is
  /// given back. Requests that come wait for resume(). A volume that is in read-only mode, or gets
  /// there now, is not saved. An error means that it goes on as before, or is in read-only mode.
  Task<Result<void>> suspend(SuspendMode mode) { return suspension_.suspend(mode); }
  /// Opens the device, or what has been put in its place, and goes on. corrupt: that is not this
  /// volume in the state in which it was left; busy: somebody else uses it. It is still suspended
  /// then.
  Task<Result<void>> resume() { return suspension_.resume(); }
  /// Discards all free blocks of slabs that are in use, beneath the volume, whatever the options
  /// say. unsupported: the device cannot; or its error; read_only; cancelled: the volume ends.
  Task<Result<TrimCounts>> trim() { return trimmer_.trim(); }
  [[nodiscard]] bool is_suspended() const { return suspension_.is_suspended(); }
  /// Before stop(), and not beside it: requests that are held come to an end (Suspension::end()).
  Task<Result<void>> end_suspension() { return suspension_.end(); }

  void set_compression(bool on) { options_.compression = on; }
  void set_deduplication(bool on) { index_.set_deduplication(on); }
  void set_no_space_timeout(Duration limit) {
    options_.no_space_timeout = limit;
    gates_.room.set_time_limit(limit);
  }
  /// The index: IndexHolder::close(), create() and enable().
  Task<Result<void>> close_index() { return index_.close(); }
  Task<Result<void>> create_index() { return index_.create(); }
  Task<Result<void>> enable_index() { return index_.enable(); }

  // ---- figures

  /// Sees to it that statistics() knows the savings: makes them out if nobody has asked before, and
  /// waits for that as long as `patience`. It goes on in the background afterwards.
  Task<void> count_savings(Duration patience) { return savings_.count(patience); }
  [[nodiscard]] VolumeStatistics statistics() const;
  /// The most blocks of the room for data that were in use at once since the last call, pages of
  /// the block map included; means nothing while the volume is recovering.
  std::uint64_t take_peak_used() { return ledger_.depot().take_peak_allocated(); }
  /// Bytes of memory that the volume needs: cache, reference counts, buffers, journal, index.
  [[nodiscard]] std::uint64_t memory_needed() const;
  /// What can be checked at any time between two steps of the executor; a violation ends the
  /// process.
  void check_invariants() const;

  // ---- what it is made of
  [[nodiscard]] const BackingStore& store() const { return store_; }
  /// Whether there is room for writes beneath it.
  [[nodiscard]] const RoomGate& room() const { return gates_.room; }
  [[nodiscard]] const VolumeOptions& options() const { return options_; }
  [[nodiscard]] const VolumeGeometry& geometry() const { return geometry_; }
  [[nodiscard]] const SuperBlock& super_block() const { return super_blocks_.current(); }
  [[nodiscard]] const ReadOnlyNotifier& notifier() const { return notifier_; }
  [[nodiscard]] const RecoveryJournal& journal() const { return ledger_.journal(); }
  [[nodiscard]] const SlabDepot& depot() const { return ledger_.depot(); }
  [[nodiscard]] const BlockMap& block_map() const { return ledger_.map(); }
  [[nodiscard]] const Packer& packer() const { return packer_; }
  [[nodiscard]] const DataWriter& data_writer() const { return data_writer_; }
  [[nodiscard]] const DedupeIndex* index() const { return index_.get(); }
  [[nodiscard]] const RequestCounters& requests() const { return counters_.requests; }
  [[nodiscard]] const HashLockStatistics& hash_locks() const { return counters_.hash_locks; }
  [[nodiscard]] const ErrorStatistics& errors() const { return counters_.errors; }
  [[nodiscard]] std::uint64_t writes_in_progress() const { return in_flight_.locks().size(); }

 private:
  Volume(Executor& executor, BackingStore& store, const VolumeOptions& options,
         const VolumeGeometry& geometry, const SuperBlock& super_block, LogFunction log,
         MutableBytes kept);

  // ---- opening (volume_open.cpp)
  Task<Result<void>> open_for_writing(const StartPlan& plan, const SuperBlock& on_disk,
                                      const IndexFactory& make_index, const KeptStart& kept);
  Task<Result<void>> load(const StartPlan& plan, const KeptStart& kept);
  Task<Result<void>> load_ledger(const StartPlan& plan);
  Task<Result<void>> mark_in_use();
  Task<Result<void>> open_for_salvage(const SuperBlock& on_disk, Error reason);
  Task<Result<void>> open_for_reading();
  /// Sees the volume through its journal from now on.
  Task<Result<void>> view_through_journal(const SuperBlock& on_disk);
  void start();
  /// Makes the writes that a process which died had answered, and makes them stable.
  Task<void> apply_kept(KeptStart& kept);
  Task<Result<void>> write_kept(std::vector<KeptBlock> blocks);

  // ---- figures (volume_statistics.cpp), in this order
  void add_use_of_room(VolumeStatistics& s) const;
  void add_counts_of_parts(VolumeStatistics& s) const;
  void add_state(VolumeStatistics& s) const;

  // ---- the end
  Task<Result<void>> stop_without_device();
  Task<void> end_background();
  /// What is to be told of a stop for which there was no room.
  [[nodiscard]] Error given_up_error() const;
  /// What is done once when the mode is entered: log it, record it on the device, wake all who
  /// wait.
  void entered_read_only(const Error& reason);

  [[nodiscard]] PbnDevice blocks() { return {gates_.top(), geometry_.bio_offset}; }
  // BinAllocator
  Pbn allocate_bin(std::uint32_t members) override;

  Executor& executor_;
  BackingStore& store_;
  // Compression, deduplication and the time limit change while it is in use; the rest stays.
  VolumeOptions options_;
  VolumeGeometry geometry_;
  LogFunction log_;
  // State of the whole: its life, what is counted, and whether it may be written.
  VolumeLife life_;
  VolumeCounters counters_;
  ReadOnlyNotifier notifier_;
  // The device, and what is known of it.
  DeviceGates gates_;
  KeptMemory kept_;
  KeptReport kept_report_;
  SuperBlockStore super_blocks_;
  std::optional<JournalView> view_;  ///< of a volume that was not opened for writing
  Ledger ledger_;
  // Requests: how they come in, and the memory that they take.
  Entrance entrance_;
  VolumeBuffers buffers_;
  WriteAdmission admission_;
  InFlight in_flight_;
  IndexHolder index_;
  // From data to a mapping, and back.
  DataWriter data_writer_;
  Packer packer_;
  ReadPath reads_;
  Deduplication deduplication_;
  MapUpdate update_;
  Maintenance maintenance_;
  Trimmer trimmer_;
  WriteJobs jobs_;
  Packing packing_;
  Placement placement_;
  WritePath writes_;
  Discarder discarder_;
  // Changes of the volume as a whole.
  Saver saver_;
  ReadOnlyRecord record_;
  Administration administration_;
  Suspension suspension_;
  Growth growth_;
  SavingsWalk savings_;
  // Packer::run(), which ends with the packer's stop.
  TaskGroup packer_runs_;
};

}  // namespace uvdo
