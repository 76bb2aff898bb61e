// SPDX-License-Identifier: GPL-2.0-or-later
// A VDO volume in use: what puts the parts together. Opening, writing, reading, discarding,
// flushing and saving are coroutines, one file each, that read from top to bottom.
//
// One thread runs all of it. In memory a change counts at once; what must be on disk before what
// follows from the points of the recovery journal (journal/recovery_journal.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/wait_queue.h"
#include "async/work_thread.h"
#include "base/block_arena.h"
#include "base/log.h"
#include "base/machine_memory.h"
#include "base/object_pool.h"
#include "block/block_service.h"
#include "blockmap/block_map.h"
#include "blockmap/page_replay.h"
#include "dedupe/hash_locks.h"
#include "dedupe/lbn_locks.h"
#include "depot/slab_depot.h"
#include "device/flush_gate.h"
#include "device/hold_gate.h"
#include "device/room_gate.h"
#include "format/compressed_block.h"
#include "format/journal_view.h"
#include "index/dedupe_index.h"
#include "journal/recovery_journal.h"
#include "packer/block_compressor.h"
#include "packer/data_writer.h"
#include "packer/packer.h"
#include "statistics/statistics.h"
#include "volume/flush_generations.h"
#include "volume/growth.h"
#include "volume/patient_requests.h"
#include "volume/request_gate.h"
#include "volume/savings_counter.h"
#include "volume/super_block_store.h"

namespace uvdo {

/// What a volume is opened for.
enum class VolumeAccess : std::uint8_t {
  read_write,
  read_only,                  ///< not a byte is written; what its journal says is kept in memory
  read_only_without_journal,  ///< the same, as the block map on disk says
};

/// How a volume is used. What is on disk does not depend on it.
struct VolumeOptions {
  VolumeAccess access = VolumeAccess::read_write;
  std::uint32_t block_map_cache_pages = 32768;  ///< 4 KiB each
  std::uint32_t block_map_maximum_age = 16380;  ///< journal blocks, 1..16380
  std::uint64_t buffer_bytes = 64ULL << 20U;    ///< data in flight
  /// Each of the three pools of buffers that the volume itself needs.
  std::uint64_t internal_buffer_bytes = 4ULL << 20U;
  bool compression = false;
  /// Compressed blocks that are kept until others fill a physical block with them: the more, the
  /// less space is lost. 8 KiB each.
  std::uint32_t packer_fragments = 768;
  /// Writes under way, or gatherings of small ones; with so many, more of them wait.
  std::size_t write_jobs = 1024;
  /// Slab journal blocks that wait to be written, at least 2; with so many, changes wait.
  std::size_t slab_journal_blocks = 1024;
  /// Blocks that are to become free once the journal is stable and nobody reads them any more; with
  /// so many, writes and discards wait.
  std::size_t frees_under_way = 65536;
  bool deduplication = true;
  /// A commit of the journal at the latest this long after a write, flush or not.
  Duration commit_delay = std::chrono::milliseconds(50);
  /// So long new writes are held back where the device has no room; then they fail with no_space
  /// until there is some.
  Duration no_space_timeout = std::chrono::seconds(60);
  /// Where blocks are named and compressed.
  WorkPlace work;
  /// Few small writes, which have been answered, wait so long for company on their way to the work
  /// thread: to wake it costs more than they do. Whoever waits for them ends that.
  Duration gather_delay{0};
  /// Uses a work thread.
  void use(WorkThread& thread) {
    work = WorkPlace(&thread);
    gather_delay = std::chrono::microseconds(500);
  }
  /// Asked before the volume grows: how much memory the process can have in all. Without it there
  /// is enough.
  std::function<MachineMemory()> memory_within_reach;
  /// Changes of block map pages that a recovery holds in memory, 16 bytes each.
  std::size_t replay_batch = PageReplay::kBatch;
  /// Mistakes to be made on purpose, in tests.
  FaultPoints faults;
};

/// Makes the index of a volume; `create` if the volume is new.
using IndexFactory = std::function<std::unique_ptr<DedupeIndex>(
    Executor& executor, Device& device, const VolumeGeometry& geometry, bool create)>;

/// Counts of client requests (behaviour.md, 14: biosIn and relatives), in blocks.
struct RequestCounters {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t partial_reads = 0;
  std::uint64_t partial_writes = 0;
  std::uint64_t discards = 0;
  std::uint64_t flushes = 0;
  std::uint64_t fua_writes = 0;
  std::uint64_t data_reads = 0;  ///< blocks read from the device for data
  std::uint64_t zero_blocks_written = 0;
};

struct DedupeCounters {
  std::uint64_t advice_valid = 0;
  std::uint64_t advice_stale = 0;
  std::uint64_t concurrent_matches = 0;
  std::uint64_t concurrent_collisions = 0;
  std::uint64_t queries_now = 0;
  std::uint64_t invalid_advice = 0;
};

struct ErrorCounters {
  std::uint64_t no_space = 0;
  std::uint64_t read_only = 0;
};

class Volume final : public BlockService, private PageAllocator, private BinAllocator {
 public:
  /// Opens the volume on `device` and, if it is to be written, marks it in use. One that cannot be
  /// written, since an error left it read-only or does so now, is opened for reading, with what its
  /// journal says kept in memory. Lines for people go to `log`.
  static Task<Result<std::unique_ptr<Volume>>> open(Executor& executor, BackingStore& store,
                                                    const VolumeOptions& options,
                                                    IndexFactory make_index, LogFunction log);
  ~Volume() override;

  // ---- BlockService
  [[nodiscard]] std::uint64_t size() const override;
  [[nodiscard]] bool is_read_only() const override { return notifier_.is_read_only(); }
  [[nodiscard]] bool has_failed() const override { return notifier_.is_read_only(); }
  BufferPool& buffers() override { return buffers_; }
  Task<Result<void>> read(std::uint64_t offset, MutableBytes out) override;
  Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) override;
  Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                             Durability durability) override;
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                  Durability durability) override;
  Task<Result<void>> flush() override;
  Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                            std::size_t limit) override;

  /// Whether it was opened for reading only, because somebody wished it.
  [[nodiscard]] bool is_opened_for_reading() const {
    return options_.access != VolumeAccess::read_write;
  }
  /// What its journal says, if it was opened for reading and has one that counts.
  [[nodiscard]] const JournalView* journal_view() const { return view_ ? &*view_ : nullptr; }

  /// Whether slabs still wait for scrubbing after a crash; the volume is used as ever meanwhile.
  [[nodiscard]] bool is_recovering() const {
    return is_loaded_ && depot_->unscrubbed() > 0 && !notifier_.is_read_only();
  }
  /// How far that has come: 0..100.
  [[nodiscard]] unsigned recovery_percentage() const;

  /// Finishes all requests, writes everything and marks the volume clean. Afterwards the volume can
  /// only be destroyed. An error means that it was left as it is on disk (to be recovered).
  Task<Result<void>> stop();
  [[nodiscard]] bool is_stopped() const { return stopping_; }

  // ---- growing, also while requests are under way (volume_growth.cpp)

  /// Gives the volume its new logical size, physical size, or both, in one step. A file is made
  /// longer for the physical one. invalid_argument: too small or too large; no_space: the device is
  /// not so large; no_memory: the machine has not what the larger one needs; busy: it is suspended,
  /// or recovers (physical growth); read_only. It keeps both sizes then.
  Task<Result<void>> grow(GrowthRequest request);

  // ---- suspending (volume_suspension.cpp, behaviour.md, 11)

  /// How much of the volume is on its device while it is suspended.
  enum class SuspendMode : std::uint8_t {
    save,     ///< everything: it is CLEAN there
    no_save,  ///< what flushes have covered and all that was answered: a start would recover it
  };
  /// Ends what is under way, then lets the device alone: nothing reaches it any more, its lock is
  /// given back. Requests that come wait for resume(). A volume that is in read-only mode, or gets
  /// there now, is not saved. An error means that it goes on as before, or is in read-only mode.
  Task<Result<void>> suspend(SuspendMode mode);
  /// Opens the device, or what has been put in its place, and goes on. corrupt: that is not this
  /// volume in the state in which it was left; busy: somebody else uses it. It is still suspended
  /// then.
  Task<Result<void>> resume();
  [[nodiscard]] bool is_suspended() const { return suspended_.has_value(); }
  /// Enters read-only mode for something that was found out elsewhere: what is on the device must
  /// not be relied on any more.
  void fail(const Error& reason) { notifier_.enter(reason); }
  /// Before stop(), so that requests that are held come to an end, and no others are held: a
  /// suspended volume that was saved stays as it is on its device and they fail; another one is
  /// resumed, if it can be.
  Task<Result<void>> end_suspension();

  void set_compression(bool on) { options_.compression = on; }
  void set_no_space_timeout(Duration limit) {
    options_.no_space_timeout = limit;
    room_.set_time_limit(limit);
  }
  void set_deduplication(bool on) {
    options_.deduplication = on;
    if (index_) index_->set_enabled(on);
  }

  // ---- the deduplication index while the volume is in use (volume_index.cpp). One at a time; who
  // comes meanwhile waits.

  /// Saves the index and takes it out of use. busy: it is closed.
  Task<Result<void>> close_index();
  /// Puts an empty index in the place of whatever is there, and deduplicates.
  Task<Result<void>> create_index();
  /// Deduplicates: opens the index again if it was closed. An error if it has failed.
  Task<Result<void>> enable_index();

  /// Sees to it that statistics() knows the savings: makes them out if nobody has asked before, and
  /// waits for that as long as `patience`. It goes on in the background afterwards.
  Task<void> count_savings(Duration patience);

  // ---- figures (volume_statistics.cpp)
  [[nodiscard]] VolumeStatistics statistics() const;
  /// The most blocks of the room for data that were in use at once since the last call, pages of
  /// the block map included; means nothing while the volume is recovering.
  std::uint64_t take_peak_used() { return depot_->take_peak_allocated(); }
  /// Bytes of memory that the volume needs: cache, reference counts, buffers, journal, index.
  [[nodiscard]] std::uint64_t memory_needed() const;
  struct WriteJob;  ///< a write under way (write_job.h)
  [[nodiscard]] const BackingStore& store() const { return store_; }
  /// Whether there is room for writes beneath it.
  [[nodiscard]] const RoomGate& room() const { return room_; }
  [[nodiscard]] const VolumeOptions& options() const { return options_; }
  [[nodiscard]] const VolumeGeometry& geometry() const { return geometry_; }
  [[nodiscard]] const SuperBlock& super_block() const { return super_block_; }
  [[nodiscard]] const ReadOnlyNotifier& notifier() const { return notifier_; }
  [[nodiscard]] const RecoveryJournal& journal() const { return *journal_; }
  [[nodiscard]] const SlabDepot& depot() const { return *depot_; }
  [[nodiscard]] const BlockMap& block_map() const { return *map_; }
  [[nodiscard]] const Packer& packer() const { return *packer_; }
  [[nodiscard]] const DataWriter& data_writer() const { return *data_writer_; }
  [[nodiscard]] const DedupeIndex* index() const { return index_.get(); }
  [[nodiscard]] const RequestCounters& requests() const { return requests_; }
  [[nodiscard]] const DedupeCounters& dedupe() const { return dedupe_; }
  [[nodiscard]] const ErrorCounters& errors() const { return errors_; }
  [[nodiscard]] std::uint64_t writes_in_progress() const { return locks_.size(); }

 private:
  struct WriteBlock;
  struct StartPlan;

  Volume(Executor& executor, BackingStore& store, const VolumeOptions& options,
         const VolumeGeometry& geometry, const SuperBlock& super_block, LogFunction log);

  // volume_open.cpp
  Task<Result<void>> load(const StartPlan& plan);
  void start_background();
  /// Writes everything and marks the volume clean; `for_good`: it is not used any more.
  Task<Result<void>> save(bool for_good);

  // volume_recovery.cpp
  static Task<Result<StartPlan>> make_start_plan(Executor& executor, Device& device,
                                                 const VolumeGeometry& geometry,
                                                 const SuperBlock& super_block,
                                                 std::size_t replay_batch, const LogFunction& log);
  Task<Result<void>> recover_block_map(const StartPlan& plan);
  Task<Result<void>> recover_slabs(const StartPlan& plan);
  Task<void> scrub_in_background();
  Task<Result<void>> open_read_only(const SuperBlock& on_disk, Error reason);
  Task<Result<void>> open_for_reading();
  /// Sees the volume through its journal from now on.
  Task<Result<void>> view_through_journal(const SuperBlock& on_disk);

  // volume_growth.cpp
  Result<void> check_may_change();
  Task<Result<void>> grow_in_turn(PatientRequest& patient, GrowthRequest request);
  Task<Result<void>> grow_alone(const GrowthRequest& request, const Refusal& refusal);
  /// What the larger volume takes besides what it has: for the tables of its slabs, and the rest.
  struct GrowthMemory {
    PageMemory slabs;
    PageMemory rest;
  };
  /// no_memory: it cannot be had.
  Result<GrowthMemory> take_growth_memory(const SuperBlock& grown) const;
  void tell_of_growth();
  Task<Result<void>> move_into_growth(const SuperBlock& grown, PageMemory slabs,
                                      const Refusal& refusal);
  // volume_suspension.cpp
  Task<Result<void>> suspend_in_turn(PatientRequest& request, SuspendMode mode);
  Task<Result<void>> suspend_alone(SuspendMode mode, const Refusal& refusal);
  Task<Result<void>> resume_in_turn();
  Task<Result<void>> resume_alone();
  /// Opens the gates of a suspended volume whose device is open.
  Task<Result<void>> go_on();
  Task<Result<void>> verify_device();
  Task<Result<void>> stop_abandoned();

  /// Writes `changed`, unless the volume has become read-only. A failure makes it read-only.
  Task<Result<void>> change_super_block(SuperBlock changed);

  // volume_room.cpp: where there is no room beneath
  /// Holds a write back until there is some; no_space after the time limit.
  Task<Result<void>> admit_write();
  [[nodiscard]] TimePoint request_time() {
    return room_.is_open() ? TimePoint::min() : executor_.now();
  }
  void room_has_changed(RoomGate::State state);
  void break_suspension_off();
  /// What is to be told of a stop for which there was no room.
  [[nodiscard]] Error given_up_error() const;

  // volume_write.cpp
  /// False: nothing has been done, and `data` is still there.
  bool write_at_once(std::uint64_t offset, Buffer& data);
  Task<Result<void>> write_admitted(PatientRequest& request, std::uint64_t offset, Buffer data,
                                    Durability durability);
  Task<Result<void>> write_piece(std::uint64_t offset, ConstBytes piece, Durability durability,
                                 const Refusal& refusal);
  /// Goes on with a piece of a block that is locked; `block` is where it is merged.
  Task<Result<void>> merge_locked(Buffer block, std::uint64_t offset, ConstBytes piece,
                                  Durability durability, const Refusal& refusal);
  Task<Result<void>> write_blocks(Lbn first, Buffer data, Durability durability,
                                  const Refusal& refusal);
  Task<Result<void>> flush_admitted();
  /// Sees to it that the leaves of a write's blocks, two at most, exist.
  Task<Result<void>> ensure_leaves(Lbn first, std::size_t count);
  /// Accepts a small write, whose blocks are locked and have leaves, into the job that gathers such
  /// writes, if nothing has to be waited for.
  bool gather(Lbn first, Buffer& data);
  void start_gathered();
  Task<void> start_gathered_at_turn_end();
  /// Lets those who wait for a block of the gathered job start it.
  void allow_hurry(const WriteBlock& block);
  void hurry_gathered() {
    if (gather_sleeps_) gather_alarm_.ring();
  }
  /// Goes on with a job whose blocks are locked and whose generation has been entered.
  Task<Result<void>> start_job(WriteJob& job, const Refusal& refusal);
  /// Waits until take_job() has one to give.
  Task<void> wait_for_job();
  [[nodiscard]] bool has_job() const;
  /// Needs has_job().
  WriteJob& take_job();
  void enter_generation(WriteJob& job);
  /// The job gives nothing to the packer any more, or without delay.
  void leave_way_to_packer(WriteJob& job);
  /// Waits until all writes that were accepted before are in the map.
  Task<void> finish_writes();
  void finish_job(WriteJob& job);
  Task<void> store_behind(WriteJob& job);
  void keep_lost(WriteJob& job);
  /// What a reader is to be given instead of what the map says; nullptr if that is right.
  const std::byte* newer_data(Lbn lbn);

  // write_job.cpp: from data to a mapping
  Task<Result<void>> store(WriteJob& job);
  Task<Result<void>> find_locations(WriteJob& job);
  Task<void> look_up(WriteJob& job);
  Task<void> verify(WriteBlock& block, BlockMapping advice);
  Task<Result<void>> follow(WriteJob& job, WriteBlock& block);
  Task<Result<void>> ask_again(WriteJob& job, WriteBlock& block);
  /// Ends the part of an agent, or of a follower, in a hash lock.
  void settle(WriteBlock& block);
  void leave(WriteBlock& block);
  /// settle() for all of a job that are agents.
  void leave_agents(WriteJob& job);
  /// Finds places for the undecided blocks. They are located then, or in the map already. `guard`
  /// is given up where the rest takes long.
  Task<Result<void>> place(WriteJob& job, std::optional<ReadGuard>& guard);
  /// Ends the blocks of a job that are in the map if others are in the packer, where they may have
  /// to wait for long; and gives its buffers back, if all others are there.
  void park(WriteJob& job);
  void allow_hurry_in_packer(WriteJob& job);
  void end_block(WriteBlock& block);
  Task<Result<void>> place_whole(WriteJob& job);
  Task<void> pack_all(WriteJob& job, TaskGroup& packing, Result<void>& failure);
  Task<void> pack(WriteJob& job, WriteBlock& block, ConstBytes fragment, Result<void>& failure);
  Task<Result<BlockMapping>> write_alone(WriteBlock& block);
  /// A block, where none was promised: waits as long as one may come free. `job`, if it is for one,
  /// gives up its part as an agent if it has to wait for others.
  Task<Result<Pbn>> allocate_unpromised(WriteJob* job);
  /// Makes the map say where the located blocks are. One that cannot be shared any more becomes
  /// undecided.
  Task<Result<void>> apply(WriteJob& job);
  void prefetch_changes(std::span<const WriteBlock> blocks);
  Task<Result<void>> apply_alone(WriteJob& job, WriteBlock& block);
  Task<Result<void>> apply_in_leaf(WriteJob& job, WriteBlock& block, MapPage& leaf);
  Task<void> fetch_leaves(WriteJob& job, std::span<const WriteBlock> blocks);
  Task<void> fetch(WriteJob& job, PageNumber page);
  void let_go_of_leaves(WriteJob& job);
  Task<Result<LeafPin>> leaf_for_write(PageNumber page);
  enum class RemapOutcome : std::uint8_t {
    done,
    cannot_share,  ///< the block has no reference left to give
    must_wait_for_journal,
    must_wait_for_depot,
  };
  static bool is_waiting(RemapOutcome outcome) {
    return outcome == RemapOutcome::must_wait_for_journal ||
           outcome == RemapOutcome::must_wait_for_depot;
  }
  Result<RemapOutcome> try_apply(WriteJob& job, WriteBlock& block, MapPage& leaf);
  struct Remapped {
    RemapOutcome outcome = RemapOutcome::done;
    JournalPoint point;
  };
  /// Changes one entry of the map with all that belongs to it, or nothing at all if that has to
  /// wait. `needs_share`: the new block is somebody else's.
  Result<Remapped> try_remap(MapPage& leaf, Lbn lbn, BlockMapping mapping, bool needs_share);
  bool may_compress(const WriteJob& job) const;

  // volume_read.cpp
  /// Whether it can take a share of many reads.
  [[nodiscard]] bool has_free_work_thread() const;
  Task<Result<void>> read_blocks(Lbn first, MutableBytes out);
  Task<Result<void>> read_mapped(Lbn first, std::span<const BlockMapping> mappings,
                                 MutableBytes out);
  Task<bool> read_unverified(BlockMapping mapping, MutableBytes out);

  // volume_discard.cpp
  enum class Zeroing : std::uint8_t {
    discard,  ///< no mapping; parts of blocks may keep their data
    punch,    ///< no mapping
    map,      ///< mapped to zeros, so that a later write needs no map page
  };
  Task<Result<void>> zero_range(PatientRequest& request, std::uint64_t offset, std::uint64_t length,
                                Zeroing how, Durability durability);
  /// Writes zeros to a part of a block, if it has data: where there are none nothing is allocated,
  /// no page of the map either.
  Task<Result<void>> zero_part(std::uint64_t offset, std::uint64_t length, Zeroing how,
                               Durability durability, const Refusal& refusal);
  Task<Result<bool>> reads_as_zeros(Lbn lbn, Zeroing how);
  Task<Result<void>> unmap_blocks(Lbn first, Lbn last, const Refusal& refusal);
  Task<Result<void>> map_zero_blocks(Lbn first, Lbn last, const Refusal& refusal);
  Task<Result<void>> remap_in_leaf(PageNumber page, Lbn first, Lbn last, BlockMapping mapping,
                                   const Refusal& refusal);
  /// Remaps as many of the `count` blocks from `first` on as can be done at one go, which leave
  /// data of one slab; returns their number. 0: try_remap() must see to the first.
  Result<std::uint64_t> try_drop(MapPage& leaf, Lbn first, std::uint64_t count,
                                 BlockMapping mapping);

  // volume_savings.cpp
  Task<void> walk_for_savings();
  void add_savings(VolumeStatistics& s) const;

  // volume_maintenance.cpp
  Task<void> commit_regularly();
  Task<void> write_back_regularly();
  void note_new_entries();
  void request_maintenance();
  Task<void> drain_writes();
  void entered_read_only(const Error& reason);
  Task<void> record_read_only();

  // PageAllocator
  Task<Result<Pbn>> allocate_page() override;
  Task<Result<void>> wait_for_room(Pbn pbn) override;
  Result<JournalPoint> commit_page(Pbn parent, unsigned slot, Pbn page) override;
  // BinAllocator
  Pbn allocate_bin(std::uint32_t members) override;

  /// co_await give_way(): between pieces of what a client may ask for at any length.
  auto give_way() { return executor_.give_way(!notifier_.is_on(Fault::long_request_keeps_turn)); }
  [[nodiscard]] std::uint64_t device_byte(Pbn pbn) const { return geometry_.device_byte(pbn); }
  [[nodiscard]] PbnDevice blocks() { return {device_, geometry_.bio_offset}; }
  Result<void> check_range(std::uint64_t offset, std::uint64_t length) const;
  Result<void> check_writable();
  /// The error of requests that come to a volume that ends.
  static Error refused();

  Executor& executor_;
  BackingStore& store_;
  RoomGate room_;
  FlushGate gate_;
  HoldGate hold_;
  Device& device_;  // the outer gate: what all parts use
  VolumeOptions options_;
  VolumeGeometry geometry_;
  SuperBlockStore super_block_store_;
  const SuperBlock& super_block_ = super_block_store_.current();
  LogFunction log_;

  ReadOnlyNotifier notifier_;
  std::unique_ptr<RecoveryJournal> journal_;
  std::unique_ptr<SlabDepot> depot_;
  std::unique_ptr<BlockMap> map_;
  std::unique_ptr<DataWriter> data_writer_;
  std::unique_ptr<Packer> packer_;
  std::unique_ptr<DedupeIndex> index_;
  Semaphore index_operation_;  // held while the index is opened, closed or made

  RequestGate requests_gate_;
  PatientRequests patient_requests_;
  BufferPool buffers_;
  BufferPool merge_buffers_;  // sub-block writes; held while only scratch is waited for
  BufferPool part_buffers_;   // sub-block reads, which wait for no write; held like those
  BufferPool
      scratch_buffers_;  // reads of the volume itself; held while only the next is waited for
  BufferPool fragment_buffers_;  // compressed blocks; nothing is waited for while held
  LbnLocks locks_;
  /// Data of writes that were answered and then failed: read-only mode gives them until the end.
  std::unordered_map<std::uint64_t, AlignedMemory> lost_;
  HashLocks hash_locks_;
  FlushGenerations writes_;          // accepted and not yet applied
  FlushGenerations ways_to_packer_;  // of those that may still give something to the packer
  BlockArena parked_;                // data of fragments in the packer
  std::size_t leaves_held_ = 0;      // by jobs, besides those that are being changed
  std::unique_ptr<ObjectPool<WriteJob>> write_jobs_;
  WaitQueue job_finished_;
  std::uint64_t job_shortages_ = 0;
  WriteJob* gathered_ = nullptr;  // small writes of this turn
  bool gathering_ = false;        // the turn's end, or the alarm, will start them
  TimePoint gathered_since_;
  bool gather_sleeps_ = false;
  Alarm gather_alarm_;
  struct GatheredHurry final : Hurry {
    explicit GatheredHurry(Volume& owner) : volume(owner) {}
    void hurry() override { volume.hurry_gathered(); }
    Volume& volume;
  } gathered_hurry_{*this};
  struct PackerHurry final : Hurry {
    explicit PackerHurry(Volume& owner) : volume(owner) {}
    void hurry() override { volume.packer_->flush(); }
    Volume& volume;
  } packer_hurry_{*this};
  BlockCompressor compressor_;
  AlignedMemory fragment_;             // where a block is compressed to
  BlockCompressor remote_compressor_;  // the work thread's
  AlignedMemory identity_;             // where the super block is read to, to know the volume again

  Semaphore administration_;    // one growth, suspension or stop at a time
  RequestGate administrators_;  // growths, suspensions and what is left of those that were refused
  TaskGroup background_;
  TaskGroup walks_;  // they wait for what the background does
  TaskGroup jobs_;
  Alarm commit_alarm_;
  Alarm write_back_alarm_;
  bool commit_planned_ = false;
  bool maintenance_requested_ = false;
  bool stopping_ = false;   ///< new writes are refused
  bool ending_ = false;     ///< none is left, and what goes on in the background ends
  bool is_loaded_ = false;  ///< the slabs are known, or will be by scrubbing
  bool opened_read_only_ = false;
  std::optional<JournalView> view_;  ///< of a volume that was opened read-only
  bool all_committed_ = false;       ///< while it is saved: all that was answered is stable
  std::optional<SuspendMode> suspended_;
  bool is_last_ = false;    ///< no suspension follows: the volume is about to be stopped
  bool was_saved_ = false;  ///< the suspended volume is clean on its device
  bool abandoned_ = false;  ///< it was suspended, and ends without its device

  RequestCounters requests_;
  DedupeCounters dedupe_;
  ErrorCounters errors_;
  SavingsCounter savings_;
};

}  // namespace uvdo
