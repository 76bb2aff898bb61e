// SPDX-License-Identifier: GPL-2.0-or-later
// The memory of a volume in use that outlives its process, and what the next process reads in it:
// all that was answered and that a flush has not covered yet. A write that is not in the journal
// yet is in one of the buffers, and its record says for which block; what is in the journal and
// not on disk is in the memory of the journal.
//
//   block 0   who it is of: see KeptMemory; 64-bit numbers
//   then      the memory of the journal (journal/journal_memory.h)
//   then      a record of 8 bytes for each slot: the logical block + 1; 0: none
//   then      the slots: buffers of clients, of merging, of data that wait in the packer
//
// What holds here: of a logical block at most one record is set, but for a moment two of the same
// data; while it is set the block is locked, so that its write is newer than all that the journal
// says of the block but its own entry. It is of one machine and one life of it, and so in the
// machine's byte order; what another process has left is copied and checked before it is believed.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/fault_points.h"
#include "base/result.h"
#include "base/shared_words.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "journal/journal_memory.h"

namespace uvdo {

struct VolumeOptions;

/// From one start of a volume to its end: what its super block says all the time of it and never
/// of another one.
struct VolumeRun {
  std::uint64_t journal_start = 0;
  std::uint64_t recoveries = 0;
  std::uint64_t rebuilds = 0;
  /// The run that begins, or has begun, with `super_block`.
  [[nodiscard]] static VolumeRun of(const SuperBlock& super_block) {
    return {super_block.journal.journal_start.value(), super_block.complete_recoveries,
            super_block.read_only_recoveries};
  }
  friend bool operator==(const VolumeRun&, const VolumeRun&) = default;
};

/// Where what lies, for so many slots.
struct KeptLayout {
  std::uint64_t slots = 0;
  static constexpr std::uint64_t kMostSlots = std::uint64_t{1} << 28U;
  /// Of the buffers of a volume that is opened with `options`.
  [[nodiscard]] static KeptLayout of(const VolumeOptions& options);

  [[nodiscard]] static constexpr std::uint64_t journal() { return kBlockSize; }
  [[nodiscard]] static constexpr std::uint64_t records() {
    return journal() + JournalMemory::kBytes;
  }
  [[nodiscard]] constexpr std::uint64_t records_bytes() const {
    return (slots * sizeof(std::uint64_t) + kBlockSize - 1) / kBlockSize * kBlockSize;
  }
  [[nodiscard]] constexpr std::uint64_t arena() const { return records() + records_bytes(); }
  [[nodiscard]] constexpr std::uint64_t bytes() const { return arena() + slots * kBlockSize; }
};

/// What the process that a memory is of was doing with it.
enum class KeptPhase : std::uint8_t {
  idle = 0,      ///< nothing in it is needed
  applying = 1,  ///< its process was bringing in what another one has left, and served nobody
  in_use = 2,    ///< it has all that was answered and not yet flushed
  given_up = 3,  ///< an error made the volume read-only: what was answered is not all in it
};

/// Who a memory is of.
struct KeptHeader {
  KeptPhase phase = KeptPhase::idle;
  KeptLayout layout;
  Uuid uuid{};
  std::uint64_t nonce = 0;
  VolumeRun run;
  VolumeRun predecessor;  ///< `applying`: the run whose memory that was

  /// Reads block 0. corrupt, unsupported: the memory is none of ours, or of another version.
  [[nodiscard]] static Result<KeptHeader> read(ConstBytes memory);
};

/// A write that was answered and is not in the journal.
struct KeptBlock {
  Lbn lbn;
  ConstBytes data;  ///< 4096 bytes of the memory
};
/// The writes in a memory, in any order. `wrong` counts records of blocks that a volume of
/// `logical_blocks` has not. Needs a header that was read of it.
[[nodiscard]] std::vector<KeptBlock> kept_blocks(ConstBytes memory, const KeptHeader& header,
                                                 std::uint64_t logical_blocks,
                                                 std::uint64_t& wrong);

/// The memory of this process. A volume without one keeps nothing.
class KeptMemory {
 public:
  KeptMemory() = default;
  /// `memory` outlives this and has layout.bytes() bytes at a 4096-byte boundary.
  KeptMemory(MutableBytes memory, const KeptLayout& layout, FaultPoints faults = {});

  /// Whether somebody has begun a run with `memory`.
  [[nodiscard]] static bool is_begun(ConstBytes memory) {
    const auto header = KeptHeader::read(memory);
    return header.ok() && header->phase != KeptPhase::idle;
  }
  [[nodiscard]] bool is_there() const { return !memory_.empty(); }
  /// Of the journal, and of the buffers; empty where there is none.
  [[nodiscard]] MutableBytes journal() const;
  [[nodiscard]] MutableBytes arena() const;
  [[nodiscard]] KeptPhase phase() const { return phase_; }

  /// It is of this run of that volume from now on; before the super block says so on disk.
  void begin(const VolumeGeometry& geometry, const SuperBlock& super_block, KeptPhase phase,
             const VolumeRun& predecessor);
  /// The same run goes on under another name, when nothing is in it.
  void rename(const SuperBlock& super_block);
  void enter(KeptPhase phase);

  // ---- records. Of data that lie in arena().

  /// The write of `lbn`, which is locked, is about to be answered.
  void keep(Lbn lbn, const std::byte* data) {
    if (phase_ == KeptPhase::in_use) records_.set(slot_of(data), lbn.value() + 1);
  }
  /// Its data have been copied.
  void move(const std::byte* from, const std::byte* to) {
    if (phase_ != KeptPhase::in_use || faults_.is_on(Fault::kept_record_not_moved)) return;
    const std::size_t slot = slot_of(from);
    records_.set(slot_of(to), records_.get(slot));
    records_.set(slot, 0);
  }
  /// The journal has its entry, or it was not answered; its lock is about to be given back.
  void forget(const std::byte* data) {
    if (phase_ == KeptPhase::in_use) records_.set(slot_of(data), 0);
  }

 private:
  [[nodiscard]] std::size_t slot_of(const std::byte* data) const {
    return static_cast<std::size_t>(data - arena_) / kBlockSize;
  }
  void write_run(std::size_t word, const VolumeRun& run);

  [[no_unique_address]] FaultPoints faults_;
  MutableBytes memory_;
  KeptLayout layout_;
  SharedWords header_;
  SharedWords records_;
  const std::byte* arena_ = nullptr;
  KeptPhase phase_ = KeptPhase::idle;
};

}  // namespace uvdo
