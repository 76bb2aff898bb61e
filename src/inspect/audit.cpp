// SPDX-License-Identifier: GPL-2.0-or-later
// The audit: super block, block map, slabs one by one, recovery journal.
#include "inspect/audit.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <fmt/core.h>

#include "format/compressed_block.h"
#include "inspect/slab_counts.h"

namespace uvdo {
namespace {

// Neighbouring data blocks are read together, 1 MiB at a time.
constexpr std::uint64_t kReadBlocks = 256;

/// The checks, in the order of run(): the walk over the block map fills references_, against which
/// slabs are then compared one by one; what a slab took of memory is given back when it is done.
class Auditor {
 public:
  Auditor(const VolumeImage& image, const AuditOptions& options, const FindingSink& sink)
      : image_(image),
        super_(image.super_block()),
        slabs_(image.slabs()),
        options_(options),
        sink_(sink),
        counting_sink_([this](const Finding& finding) { take(finding); }),
        references_(image.slabs(), image.slab_count()) {}

  AuditSummary run() {
    check_super_block();
    if (super_.state == VolumeState::new_volume) {
      check_new_volume();
      return summary_;
    }
    check_state();
    walk();
    check_slabs();
    check_journal();
    summary_.logical_blocks_affected += summary_.contents.damaged_blocks;
    return summary_;
  }

  AuditSummary run_summary() {
    if (super_.state == VolumeState::new_volume) return summary_;
    walk();
    check_slabs();
    return summary_;
  }

 private:
  /// All findings go through here, those of the walk and of the slabs too: each is counted once,
  /// then handed on.
  void take(const Finding& finding) {
    if (finding.is_error) {
      ++summary_.errors;
      ++summary_.by_kind[static_cast<std::size_t>(finding.kind)];
    } else {
      ++summary_.notes;
    }
    sink_(finding);
  }
  template <class... Args>
  void error(FindingKind kind, fmt::format_string<Args...> text, Args&&... args) {
    take({kind, true, fmt::format(text, std::forward<Args>(args)...)});
  }
  template <class... Args>
  void note(FindingKind kind, fmt::format_string<Args...> text, Args&&... args) {
    take({kind, false, fmt::format(text, std::forward<Args>(args)...)});
  }
  void progress(std::string_view what, std::uint64_t done, std::uint64_t total) const {
    if (options_.progress) options_.progress(what, done, total);
  }

  /// What the codec lets pass, since a kernel would, but no writer makes.
  void check_super_block() {
    if (image_.is_truncated()) {
      error(FindingKind::super_block, "the volume has {} blocks, but {} ends before",
            super_.config.physical_blocks, image_.store().name());
    }
    if (auto expected = make_slab_config(super_.config.slab_size, super_.config.slab_journal_size);
        !expected || !(*expected == super_.depot.slab)) {
      // Old and new tools divide slabs of less than 1024 blocks differently.
      const bool is_error = super_.config.slab_size >= 1024;
      take({FindingKind::super_block, is_error,
            "slabs are not divided in the way that their size asks for"});
    }
    const Pbn journal = super_.find(PartitionId::recovery_journal).start;
    if (super_.layout.first_free != journal || super_.layout.last_free != journal) {
      error(FindingKind::super_block, "the layout has free space from {} to {}",
            super_.layout.first_free.value(), super_.layout.last_free.value());
    }
    // Behind the checksum a writer leaves zeros. The block was read at the opening: an error here
    // says nothing about these bytes.
    std::array<std::byte, kBlockSize> block;
    if (!image_.read_blocks(image_.geometry().data_start, block)) return;
    if (std::any_of(block.begin() + kSuperBlockSize, block.end(),
                    [](std::byte b) { return b != std::byte{0}; })) {
      error(FindingKind::super_block, "bytes after its checksum are not zero");
    }
  }

  /// Of a volume that was never started summary and slabs are not looked at: a format leaves there
  /// what was on the disk (behaviour.md, 2).
  void check_new_volume() {
    std::array<std::byte, kBlockSize> block;
    for (std::uint64_t root = 0; root < kBlockMapRoots; ++root) {
      const Pbn pbn = super_.block_map.root_origin + root;
      if (auto ok = image_.read_blocks(pbn, block); !ok) {
        return error(FindingKind::unreadable, "{}", ok.error().message());
      }
      if (std::ranges::any_of(block, [](std::byte b) { return b != std::byte{0}; })) {
        error(FindingKind::new_volume, "block map root {} is not zero", root);
      }
    }
    auto overview = survey_journal(image_);
    if (!overview) return error(FindingKind::unreadable, "{}", overview.error().message());
    if (overview->blocks != 0) {
      error(FindingKind::new_volume, "the recovery journal has {} blocks", overview->blocks);
    }
    if (super_.journal != RecoveryJournalState{} || super_.complete_recoveries != 0 ||
        super_.depot.zone_count != 0) {
      error(FindingKind::new_volume, "its counters are not those of a volume never started");
    }
  }

  void check_state() {
    if (super_.state != VolumeState::clean && image_.replay() == nullptr) {
      note(FindingKind::state, "the volume is {}: counts may be wrong until it is repaired",
           name_of(super_.state));
    }
    if (const JournalReplay* replay = image_.replay()) check_replay(*replay);
  }

  void check_replay(const JournalReplay& replay) {
    const UsableJournal& usable = replay.view.usable;
    if (super_.state == VolumeState::recovering && replay.found()) {
      error(FindingKind::state, "the volume is RECOVERING, but its journal is in use");
    }
    for (const std::string& text : replay.unreadable) error(FindingKind::unreadable, "{}", text);
    // A rebuild goes on over damage: what it costs there is among the losses below.
    if (!needs_rebuild(super_.state)) {
      for (const std::string& text : usable.damage) {
        error(FindingKind::recovery_journal, "{}", text);
      }
    }
    for (const std::string& text : replay.view.losses) {
      error(FindingKind::recovery_journal, "{}", text);
    }
    if (replay.is_damaged()) {
      error(FindingKind::recovery_journal,
            "the last flushed contents of up to {} logical blocks are lost with it, and nothing "
            "tells which",
            replay.view.blocks_affected());
    }
    if (image_.is_seen_as_rebuilt()) {
      note(FindingKind::state,
           "reference counts and slab journals were not looked at: a rebuild makes them anew");
    }
  }

  void walk() {
    summary_.contents = walk_block_map(image_, references_, counting_sink_,
                                       [this](std::uint64_t done, std::uint64_t expected) {
                                         progress("block map", std::min(done, expected), expected);
                                       });
    // The counters are made anew by the rebuild, from the very walk.
    if (image_.is_seen_as_rebuilt()) return;
    const std::uint64_t used = image_.logical_blocks_used();
    if (summary_.contents.mapped_blocks != used) {
      error(FindingKind::logical_blocks_used, "{} are mapped, but {} are recorded",
            summary_.contents.mapped_blocks, used);
    }
    const std::uint64_t pages = image_.block_map_blocks();
    if (summary_.contents.tree_pages != pages) {
      error(FindingKind::block_map_blocks, "{} were found, but {} are recorded",
            summary_.contents.tree_pages, pages);
    }
  }

  void check_slabs() {
    if (image_.is_seen_as_rebuilt()) return check_data();
    auto entries = image_.read_slab_summary();
    if (!entries) return error(FindingKind::unreadable, "{}", entries.error().message());
    for (SlabNumber slab = 0; slab < image_.slab_count(); ++slab) {
      progress("slabs", slab, image_.slab_count());
      const SlabSummaryEntry& entry = (*entries)[slab];
      if (super_.state == VolumeState::clean && entry.dirty) {
        // Seen from the kernel with several zones; a loader replays it.
        note(FindingKind::slab_summary, "slab {} is dirty in a CLEAN volume", slab);
      }
      if (is_untouched(slab, entry)) {
        check_hint(slab, entry, slabs_.data_blocks());
        continue;
      }
      // From summary, counts, slab journal and recovery journal, as a loader would.
      auto counts = load_slab_counts(image_, slab, entry, counting_sink_);
      if (!counts) {
        error(FindingKind::unreadable, "slab {}: {}", slab, counts.error().message());
      } else {
        compare(slab, *counts);
        check_hint(slab, entry, static_cast<std::uint64_t>(std::ranges::count(*counts, kFree)));
      }
      if (references_.is_used(slab)) check_blocks(slab);
      references_.drop(slab);
    }
  }

  /// Only what the block map refers to.
  void check_data() {
    for (SlabNumber slab = 0; slab < image_.slab_count(); ++slab) {
      progress("slabs", slab, image_.slab_count());
      if (!references_.is_used(slab)) continue;
      for (Sbn sbn = 0; sbn < slabs_.data_blocks(); ++sbn) {
        summary_.allocated_blocks += references_.count(slab, sbn) != 0 ? 1 : 0;
      }
      check_blocks(slab);
      references_.drop(slab);
    }
  }

  /// Count by count: what the volume has recorded against what the block map refers to.
  void compare(SlabNumber slab, const std::vector<ReferenceCount>& counts) {
    for (Sbn sbn = 0; sbn < counts.size(); ++sbn) {
      const ReferenceCount stored = counts[sbn];
      const std::uint8_t found = references_.count(slab, sbn);
      summary_.allocated_blocks += stored != kFree ? 1 : 0;
      if (stored == found) continue;
      const std::uint64_t pbn = slabs_.pbn_of(slab, sbn).value();
      if (found == ReferenceTable::kTreePage) {
        // Old versions counted 1 for a page.
        if (stored == 1 || stored == kMaxReferences) continue;
        error(FindingKind::reference_count, "block map page {} has a count of {}, not 254", pbn,
              stored);
      } else {
        error(FindingKind::reference_count,
              "block {} (slab {}) has a count of {}, but {} references", pbn, slab, stored, found);
      }
    }
  }

  /// Never used by anyone: large volumes are mostly that.
  [[nodiscard]] bool is_untouched(SlabNumber slab, const SlabSummaryEntry& entry) const {
    return entry.is_unused() && !references_.is_used(slab) &&
           (image_.replay() == nullptr || image_.replay()->changes_of_slab(slab).empty());
  }

  void check_hint(SlabNumber slab, const SlabSummaryEntry& entry, std::uint64_t free) {
    // The replay moves counts, which a recovery's own summary would follow.
    if (image_.replay() != nullptr) return;
    // behaviour.md, 15: a hint has a granularity of a 64th of a slab.
    const unsigned shift = slabs_.slab_bits() > 6 ? slabs_.slab_bits() - 6 : 0;
    const std::uint64_t hint = entry.fullness_hint;
    const std::uint64_t least = (hint == 0 ? 0 : hint - 1) << shift;
    if (free < least || free >= (hint + 1) << shift) {
      error(FindingKind::slab_summary, "slab {} has {} free blocks, but its hint is {}", slab, free,
            hint);
    }
  }

  /// Reads the blocks of a slab that hold data, in runs, and tries every fragment that is mapped.
  void check_blocks(SlabNumber slab) {
    const auto blocks = static_cast<Sbn>(slabs_.data_blocks());
    Sbn run = 0;
    Sbn run_length = 0;
    for (Sbn sbn = 0; sbn < blocks; ++sbn) {
      const std::uint8_t count = references_.count(slab, sbn);
      const bool is_data = count != 0 && count != ReferenceTable::kTreePage;
      const std::uint16_t fragments = references_.fragments(slab, sbn);
      summary_.referenced_blocks += is_data ? 1 : 0;
      summary_.compressed_blocks += fragments != 0 ? 1 : 0;
      summary_.compressed_fragments += static_cast<std::uint64_t>(std::popcount(fragments));
      // A block goes on with the run before it, or ends that and begins another.
      const bool wanted = reads_ && (fragments != 0 || (is_data && options_.read_data));
      if (wanted && run_length > 0 && run + run_length == sbn && run_length < kReadBlocks) {
        ++run_length;
        continue;
      }
      if (!wanted) continue;
      read_run(slab, run, run_length);
      run = sbn;
      run_length = 1;
    }
    read_run(slab, run, run_length);
  }

  void read_run(SlabNumber slab, Sbn first, Sbn length) {
    if (length == 0) return;
    buffer_.resize(kReadBlocks * kBlockSize);
    const MutableBytes bytes = MutableBytes(buffer_).first(std::size_t{length} * kBlockSize);
    // If one of them cannot be read, block by block, so that the others are looked at.
    const bool all = image_.read_blocks(slabs_.pbn_of(slab, first), bytes).ok();
    for (Sbn i = 0; i < length; ++i) {
      const MutableBytes block = bytes.subspan(std::size_t{i} * kBlockSize, kBlockSize);
      const Pbn pbn = slabs_.pbn_of(slab, first + i);
      if (!all) {
        if (auto ok = image_.read_blocks(pbn, block); !ok) {
          error(FindingKind::unreadable, "block {}: {}", pbn.value(), ok.error().message());
          summary_.logical_blocks_affected += references_.count(slab, first + i);
          continue;
        }
      }
      ++summary_.data_blocks_read;
      try_fragments(pbn, references_.fragments(slab, first + i), block);
    }
  }

  void try_fragments(Pbn pbn, std::uint16_t fragments, ConstBytes block) {
    std::array<std::byte, kBlockSize> out;
    for (unsigned slot = 0; slot < kMaxFragments; ++slot) {
      // What no mapping names may be left over from before (behaviour.md, 17).
      if ((fragments >> slot & 1U) == 0) continue;
      if (auto ok = read_fragment(block, slot, out); !ok) {
        error(FindingKind::compressed_block, "fragment {} of block {}: {}", slot, pbn.value(),
              ok.error().message());
        ++summary_.logical_blocks_affected;
      }
    }
  }

  /// Of a CLEAN volume all blocks of the journal are older than its start; newer ones would come
  /// back to life at the next crash (behaviour.md, 17).
  void check_journal() {
    if (super_.state != VolumeState::clean) return;
    auto overview = survey_journal(image_);
    if (!overview) return error(FindingKind::unreadable, "{}", overview.error().message());
    if (overview->current_blocks > 0) {
      error(FindingKind::recovery_journal,
            "the volume is CLEAN, but blocks {} to {} are not before its journal start {}",
            overview->first_current.value(), overview->last_current.value(),
            super_.journal.journal_start.value());
    }
  }

 public:
  bool reads_ = true;  ///< false: count only

 private:
  const VolumeImage& image_;
  const SuperBlock& super_;
  const SlabLayout& slabs_;
  const AuditOptions& options_;
  const FindingSink& sink_;
  FindingSink counting_sink_;
  ReferenceTable references_;
  AuditSummary summary_;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::string_view name_of(FindingKind kind) {
  switch (kind) {
    case FindingKind::super_block: return "super block";
    case FindingKind::state: return "state";
    case FindingKind::block_map_page: return "block map page";
    case FindingKind::block_map_tree: return "block map tree";
    case FindingKind::mapping: return "mapping";
    case FindingKind::compressed_block: return "compressed block";
    case FindingKind::unreadable: return "unreadable";
    case FindingKind::reference_count: return "reference count";
    case FindingKind::slab_journal: return "slab journal";
    case FindingKind::slab_summary: return "slab summary";
    case FindingKind::recovery_journal: return "recovery journal";
    case FindingKind::logical_blocks_used: return "logical blocks used";
    case FindingKind::block_map_blocks: return "block map blocks";
    case FindingKind::new_volume: return "new volume";
  }
  return "unknown";
}

AuditSummary audit(const VolumeImage& image, const AuditOptions& options, const FindingSink& sink) {
  return Auditor(image, options, sink).run();
}

AuditSummary summarize(const VolumeImage& image) {
  const AuditOptions options;
  const FindingSink silent = [](const Finding&) {};
  // What is wrong is no matter here: the figures are as right as the volume is.
  Auditor auditor(image, options, silent);
  auditor.reads_ = false;
  return auditor.run_summary();
}

}  // namespace uvdo
