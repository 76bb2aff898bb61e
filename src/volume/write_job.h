// SPDX-License-Identifier: GPL-2.0-or-later
// Up to 32 blocks on their way through the volume together: of one write, or of several small ones
// that came in the same turn.
//
// A job comes from WriteJobs with its blocks locked (LbnLocks) and goes back with all of them
// ended. It is never copied or cleared as a whole: it has several KiB, and each of its arrays is
// used as far as its count says.
#pragma once

#include <array>

#include "async/buffer_pool.h"
#include "async/work_thread.h"
#include "blockmap/block_map.h"
#include "dedupe/hash_locks.h"
#include "device/device.h"
#include "index/dedupe_index.h"
#include "packer/data_writer.h"
#include "volume/flush_generations.h"
#include "volume/patient_requests.h"

namespace uvdo {

/// What has become of a block of a write.
enum class Stage : std::uint8_t {
  undecided,  ///< needs a location
  packing,    ///< in the packer, or on its way from there into the map
  alone,      ///< back from the packer, on its way into the map; its data are being written
  located,    ///< `location` is where its data are, or zero
  applied,    ///< the map says so
  ended,      ///< applied, and unlocked
};

/// The table of the transitions.
[[nodiscard]] constexpr bool may_follow(Stage stage, Stage next) {
  if (next == Stage::ended) return stage != Stage::ended;  // a write that fails ends anywhere
  switch (stage) {
    case Stage::undecided: return next == Stage::packing || next == Stage::located;
    case Stage::packing: return next == Stage::alone || next == Stage::applied;
    case Stage::alone: return next == Stage::applied;
    // The block that was to be shared has no reference left.
    case Stage::located: return next == Stage::applied || next == Stage::undecided;
    case Stage::applied:
    case Stage::ended: return false;
  }
  return false;
}

/// One block of a job. What it holds besides its lock: a part in a hash lock (`lock`), perhaps a
/// claimed or new physical block (`location`), perhaps parked memory.
struct WriteBlock {
  Lbn lbn;
  const std::byte* data = nullptr;
  Stage stage = Stage::undecided;
  bool is_zero = false;
  HashLocks::Role role = HashLocks::Role::collision;
  HashLock* lock = nullptr;  ///< if agent and not settled, or follower and not left
  RecordName name;
  IndexQuery* query = nullptr;  ///< in the job, if the index was asked
  bool claimed = false;  ///< holds a free block whose old data it shares; released if not used
  BlockMapping location;
  bool is_new = false;              ///< location is a block that this write made
  std::uint32_t fragment_size = 0;  ///< while it is being compressed
  std::byte* parked = nullptr;      ///< the memory of `data`, if the job does not hold it any more

  void enter(Stage next) {
    check(may_follow(stage, next), "a block of a write went the wrong way");
    stage = next;
  }
  [[nodiscard]] bool is_agent() const { return role == HashLocks::Role::agent && lock != nullptr; }
  [[nodiscard]] bool is_follower() const { return role == HashLocks::Role::follower; }
};

struct WriteJob {
  static constexpr std::size_t kMaxBlocks = BufferPool::kLargest / kBlockSize;
  static constexpr std::size_t kMaxBuffers = kMaxBlocks;
  std::array<Buffer, kMaxBuffers> data;
  std::size_t buffer_count = 0;
  Durability durability = Durability::cached;
  std::array<WriteBlock, kMaxBlocks> blocks;
  std::size_t count = 0;
  std::uint32_t promised = 0;  ///< blocks that the depot has promised and that were not used yet
  bool has_promise = false;
  /// Of the request, if its answer waits for the job: a job that was refused changes nothing more.
  const Refusal* refusal = nullptr;
  bool trickles = false;  ///< its blocks have come so slowly that they are done where they are
  FlushGenerations::Number generation = 0;     ///< of WriteJobs, for flushes
  FlushGenerations::Number way_to_packer = 0;  ///< of WriteJobs too
  bool is_on_its_way = false;  ///< to the packer, so that a flush waits for it there
  JournalPoint last_point;

  // Room to work in; kept with the job, so that nothing is cleared that is not used.
  std::array<const std::byte*, kMaxBlocks> hashed;
  std::array<RecordName, kMaxBlocks> names;
  std::array<IndexQuery, kMaxBlocks> queries;
  std::size_t query_count = 0;
  std::array<BlockWrite, kMaxBlocks> writes;
  std::array<IndexNote, kMaxBlocks> notes;
  std::array<LeafPin, kMaxBlocks>
      fetched;  ///< leaves that were read for it and are held until used
  std::size_t fetched_count = 0;

  [[nodiscard]] std::span<WriteBlock> all() { return std::span(blocks).first(count); }
  /// Where so many of its blocks are named or compressed: `elsewhere` only if they are worth the
  /// way to another thread. It takes longer than few blocks do, and a thread that is woken may need
  /// the processor of a client that has but one request under way.
  [[nodiscard]] WorkPlace work_place(std::size_t some, const WorkPlace& elsewhere) const {
    constexpr std::size_t kWorthTheWay = 4;
    return some < kWorthTheWay || trickles ? WorkPlace() : elsewhere;
  }
  /// Adds the blocks of `bytes`, whole blocks from `first` on, and what holds them.
  void add(Lbn first, Buffer bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kBlockSize) {
      WriteBlock& block = blocks[count++];
      block = WriteBlock{};
      block.lbn = first;
      ++first;
      block.data = bytes.data() + at;
    }
    data[buffer_count++] = std::move(bytes);
  }
  /// Their data are on the disk, in the packer or in parked memory.
  void release_buffers() {
    for (; buffer_count > 0; --buffer_count) data[buffer_count - 1] = Buffer();
  }
};

}  // namespace uvdo
