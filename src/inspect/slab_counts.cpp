// SPDX-License-Identifier: GPL-2.0-or-later
// Loads and replays the counts of one slab, and checks the structures on the way.
#include "inspect/slab_counts.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/core.h>

#include "format/slab_journal_block.h"

namespace uvdo {
namespace {

struct JournalBlock {
  std::array<std::byte, kBlockSize> bytes;
  SlabJournalHeader header;
};

/// In the order of a loader (behaviour.md, 8 and 9): counts as they are on disk, then the slab
/// journal's entries behind the commit point of each sector, then what the recovery journal has
/// beyond the slab journal's recovery point.
class SlabLoader {
 public:
  SlabLoader(const VolumeImage& image, SlabNumber slab, const SlabSummaryEntry& summary,
             const FindingSink& sink)
      : image_(image), slabs_(image.slabs()), slab_(slab), summary_(summary), sink_(sink) {}

  Result<std::vector<ReferenceCount>> load() {
    counts_.assign(slabs_.data_blocks(), kFree);
    points_.assign(reference_blocks_used(slabs_.data_blocks()) * kSectorsPerBlock, JournalPoint{});
    if (summary_.load_reference_counts) {
      if (auto ok = read_counts(); !ok) return std::move(ok).error();
    }
    if (auto ok = read_tail(); !ok) return std::move(ok).error();
    if (tail_ && summary_.dirty) {
      if (auto ok = replay_slab_journal(); !ok) return std::move(ok).error();
    }
    replay_recovery_journal();
    return std::move(counts_);
  }

 private:
  template <class... Args>
  void report(FindingKind kind, fmt::format_string<Args...> text, Args&&... args) {
    sink_({kind, true,
           fmt::format("slab {} ", slab_) + fmt::format(text, std::forward<Args>(args)...)});
  }

  Result<void> read_counts() {
    std::array<std::byte, kBlockSize> block;
    for (std::size_t n = 0; n < points_.size() / kSectorsPerBlock; ++n) {
      if (auto ok = image_.read_blocks(slabs_.reference_block(slab_, n), block); !ok) return ok;
      std::array<ReferenceCount, kCountsPerBlock> counts;
      const CommitPoints points = unpack_reference_block(block, counts);
      std::ranges::copy(points,
                        points_.begin() + static_cast<std::ptrdiff_t>(n * kSectorsPerBlock));
      // In a volume in use counts may be written before the summary says that there is more in the
      // journal; each sector is brought up to date from its own point then (volume.md, 5.1).
      const bool may_be_torn = summary_.dirty || image_.super_block().state != VolumeState::clean;
      if (!may_be_torn &&
          std::ranges::any_of(points, [&](const JournalPoint& p) { return p != points[0]; })) {
        report(FindingKind::reference_count, "has a torn block of reference counts ({})", n);
      }
      const std::size_t first = n * kCountsPerBlock;
      const std::size_t used = std::min<std::size_t>(kCountsPerBlock, counts_.size() - first);
      std::copy_n(counts.begin(), used, counts_.begin() + static_cast<std::ptrdiff_t>(first));
      if (std::any_of(counts.begin() + static_cast<std::ptrdiff_t>(used), counts.end(),
                      [](ReferenceCount c) { return c != kFree; })) {
        report(FindingKind::reference_count, "has counts beyond its {} data blocks",
               counts_.size());
      }
    }
    return {};
  }

  /// A block of the slab journal; nothing if it is not one of this volume.
  Result<std::optional<JournalBlock>> journal_block(std::uint64_t index) {
    std::optional<JournalBlock> result(std::in_place);
    if (auto ok = image_.read_blocks(slabs_.journal_block_at(slab_, index), result->bytes); !ok) {
      return std::move(ok).error();
    }
    result->header = decode_slab_journal_header(result->bytes);
    if (result->header.nonce != image_.geometry().nonce ||
        result->header.type != kSlabJournalType) {
      result.reset();
    }
    return result;
  }

  Result<void> read_tail() {
    const std::uint64_t size = image_.super_block().depot.slab.slab_journal_blocks;
    if (summary_.tail_offset >= size) {
      report(FindingKind::slab_summary, "has its journal's tail at {}, beyond {} blocks",
             summary_.tail_offset, size);
      return {};
    }
    // Offset 0 is also where a journal ends whose ring has just been filled for the first time.
    if (!summary_.is_unused()) {
      const std::uint64_t last = (summary_.tail_offset == 0 ? size : summary_.tail_offset) - 1;
      auto block = journal_block(last);
      if (!block) return std::move(block).error();
      tail_ = *block;
    }
    const bool any_point =
        std::ranges::any_of(points_, [](const JournalPoint& p) { return p.packed() != 0; });
    if (!tail_) {
      if (summary_.tail_offset != 0 || summary_.dirty || any_point) {
        report(FindingKind::slab_journal, "has no valid last journal block");
      }
      return {};
    }
    const SlabJournalHeader& header = tail_->header;
    const std::uint64_t sequence = header.sequence.value();
    if ((sequence + 1) % size != summary_.tail_offset) {
      report(FindingKind::slab_journal, "has its journal's tail at {} after block {}",
             summary_.tail_offset, sequence);
    }
    if (image_.replay() != nullptr) {
      check_against_replay(header);
      return {};
    }
    // A replay explains points that lie ahead; without one they are impossible.
    const std::uint64_t start = image_.super_block().journal.journal_start.value();
    if (header.recovery_point.sequence >= start) {
      report(FindingKind::slab_journal,
             "goes up to block {} of the recovery journal, which starts at {}",
             header.recovery_point.sequence, start);
    }
    const JournalPoint end =
        header.entry_count == 0
            ? JournalPoint{sequence, 0}
            : JournalPoint{sequence, static_cast<std::uint16_t>(header.entry_count - 1)};
    if (std::ranges::max(points_) > end) {
      report(FindingKind::reference_count, "has counts with a commit point after its journal");
    }
    return {};
  }

  /// A slab journal block is written when its entries are stable in the recovery journal.
  void check_against_replay(const SlabJournalHeader& header) {
    const UsableJournal& usable = image_.replay()->view.usable;
    const JournalPoint point = header.recovery_point;
    if (usable.covers(point)) return;
    report(FindingKind::recovery_journal,
           "has in its journal what block {} of the recovery journal says (entry {}), of which a "
           "recovery finds no more than {} entries of block {}",
           point.sequence, point.entry_count / 2U, usable.extent.found ? usable.last_entries : 0U,
           usable.last.value());
  }

  Result<void> replay_slab_journal() {
    const SlabJournalHeader last = tail_->header;
    const std::uint64_t size = image_.super_block().depot.slab.slab_journal_blocks;
    if (last.head > last.sequence || last.sequence - last.head >= size) {
      report(FindingKind::slab_journal, "has a journal from block {} to {}", last.head.value(),
             last.sequence.value());
      return {};
    }
    // Each entry is applied unless its sector was written after it.
    for (SlabSequence s = last.head; s <= last.sequence; ++s) {
      auto block = journal_block(s.value() % size);
      if (!block) return std::move(block).error();
      if (!*block || (*block)->header.sequence != s ||
          !counts((*block)->header, image_.geometry().nonce)) {
        report(FindingKind::slab_journal, "has no valid journal block {}", s.value());
        return {};
      }
      const SlabJournalHeader& header = (*block)->header;
      for (unsigned i = 0; i < header.entry_count; ++i) {
        const SlabJournalEntry entry = slab_journal_entry((*block)->bytes, header, i);
        const JournalPoint point{s.value(), static_cast<std::uint16_t>(i)};
        if (entry.sbn < counts_.size() && points_[entry.sbn / kCountsPerSector] >= point) continue;
        apply(entry.sbn, entry.operation, "journal", s.value(), i);
      }
    }
    return {};
  }

  /// A recovery appends what is missing to the slab's journal, at the very places where the volume
  /// in use had it: counts on the disk may know of entries that were never written there.
  void replay_recovery_journal() {
    if (image_.replay() == nullptr) return;
    // What the slab journal has is applied already; the rest goes on in a block of its own behind
    // the tail.
    const std::uint64_t known = tail_ ? tail_->header.recovery_point.packed() : 0;
    // As the depot would write it: a block is full when the next entry finds no room in it.
    SlabJournalHeader open;
    open.sequence = tail_ ? tail_->header.sequence + 1 : SlabSequence{1};
    for (const CountChange& change : image_.replay()->changes_of_slab(slab_)) {
      if (change.point <= known) continue;
      const ReferenceOperation operation = operation_of(change.kind());
      if (!has_room(open, operation)) {
        open.entry_count = 0;
        open.has_block_map_increments = false;
        ++open.sequence;
      }
      open.has_block_map_increments |= operation == ReferenceOperation::block_map_increment;
      const JournalPoint here{open.sequence.value(), open.entry_count++};
      const Sbn sbn = change.sbn();
      if (sbn < counts_.size() && points_[sbn / kCountsPerSector] >= here) continue;
      const JournalPoint point = JournalPoint::from_packed(change.point);
      apply(sbn, operation, "recovery journal", point.sequence, point.entry_count / 2U);
    }
  }

  static ReferenceOperation operation_of(CountChange::Kind kind) {
    switch (kind) {
      case CountChange::Kind::decrement: return ReferenceOperation::data_decrement;
      case CountChange::Kind::increment: return ReferenceOperation::data_increment;
      case CountChange::Kind::map_increment: return ReferenceOperation::block_map_increment;
    }
    return ReferenceOperation::block_map_decrement;
  }

  /// A change that cannot be is reported, and left out.
  void apply(Sbn sbn, ReferenceOperation operation, std::string_view journal, std::uint64_t block,
             unsigned index) {
    if (sbn < counts_.size() && change_count(counts_[sbn], operation)) return;
    report(FindingKind::slab_journal, "{} block {} entry {}: operation {} on block {} with {}",
           journal, block, index, static_cast<unsigned>(operation), sbn,
           sbn < counts_.size() ? fmt::format("{} references", counts_[sbn]) : "no count");
  }

  /// False where no right volume would make that change: the count stays.
  static bool change_count(ReferenceCount& count, ReferenceOperation operation) {
    switch (operation) {
      case ReferenceOperation::data_decrement:
        if (count == 0) return false;
        --count;
        return true;
      case ReferenceOperation::data_increment:
        if (count >= kMaxReferences) return false;
        ++count;
        return true;
      case ReferenceOperation::block_map_increment:
        if (count != 0) return false;
        count = kMaxReferences;
        return true;
      case ReferenceOperation::block_map_decrement: return false;
    }
    return false;
  }

  const VolumeImage& image_;
  const SlabLayout& slabs_;
  SlabNumber slab_;
  SlabSummaryEntry summary_;
  const FindingSink& sink_;
  std::vector<ReferenceCount> counts_;
  // Up to which entry of the slab journal a sector's counts go.
  std::vector<JournalPoint> points_;  ///< by sector
  // The last journal block, by the summary; nothing if there is none that is this volume's.
  std::optional<JournalBlock> tail_;
};

}  // namespace

Result<std::vector<ReferenceCount>> load_slab_counts(const VolumeImage& image, SlabNumber slab,
                                                     const SlabSummaryEntry& summary,
                                                     const FindingSink& sink) {
  return SlabLoader(image, slab, summary, sink).load();
}

}  // namespace uvdo
