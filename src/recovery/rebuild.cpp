// SPDX-License-Identifier: GPL-2.0-or-later
// The steps of a rebuild, in their order: journal, slabs emptied, trees, leaves, counts.
#include "recovery/rebuild.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/core.h>

#include "async/wait_queue.h"
#include "format/block_map_tree.h"
#include "format/rebuild_journal.h"
#include "format/reference_block.h"
#include "format/slab_summary.h"
#include "journal/journal_scan.h"

namespace uvdo {
namespace {

// Sentences of the report; a damaged map may have millions of things to tell.
constexpr std::size_t kDetails = 50;
// Leaves that are read side by side, and blocks that are written in one request.
constexpr std::size_t kLeavesAtOnce = 64;
constexpr std::size_t kBlocksPerWrite = 64;

/// One rebuild, from beginning to end. Counts of the whole volume are in memory, a byte a block of
/// each slab that has any. Nothing of the super block or the recovery journal is written, so that a
/// rebuild that is broken off finds the same journal again, and everything else it makes anew.
class Rebuild {
 public:
  Rebuild(Executor& executor, Device& device, const VolumeGeometry& geometry,
          const SuperBlock& super_block, const RebuildOptions& options)
      : executor_(executor),
        device_(device, geometry.bio_offset),
        super_(super_block),
        slabs_(super_block.depot),
        dry_run_(options.dry_run),
        replay_batch_(options.replay_batch),
        log_(options.log),
        counts_(slabs_.slab_count()),
        extent_(super_block.journal.journal_start),
        leaves_memory_(kLeavesAtOnce * kBlockSize) {
    for (AlignedMemory& page : path_) page = AlignedMemory(kBlockSize);
  }

  Task<Result<void>> run() {
    // The journal first: the map is the only thing that the rest is made of.
    auto done = co_await replay_journal();
    // Before any count is written: no slab journal of before may be taken for one of the new
    // counts.
    if (done && !dry_run_) done = co_await empty_slabs();
    for (std::uint32_t root = 0; done && root < kBlockMapRoots; ++root) {
      // All trees before any leaf: a leaf's entry that names a page of the map is told by that
      // page's count.
      done = co_await walk_tree(root, kRootHeight, 0, super_.block_map.root_origin + root);
    }
    if (done) done = co_await walk_leaves();
    // What was changed is stable before the pages that were incomplete are called initialized.
    if (done && !dry_run_) done = co_await device_.flush();
    if (done && !dry_run_) done = co_await complete_pages();
    if (done) done = co_await write_counts();
    co_return done;
  }

  /// What the super block says afterwards.
  void finish(SuperBlock& super_block) const {
    if (super_block.state != VolumeState::rebuild_for_upgrade) {
      ++super_block.complete_recoveries;
      ++super_block.read_only_recoveries;
    }
    super_block.state = VolumeState::clean;
    // As after a recovery (behaviour.md, 9.5).
    super_block.journal.journal_start = extent_.highest_tail + 1;
    super_block.journal.logical_blocks_used = report_.logical_blocks_used;
    super_block.journal.block_map_blocks = report_.block_map_blocks;
    // All areas of the summary are equal, so that any number is right.
    super_block.depot.zone_count = 1;
  }
  [[nodiscard]] RebuildReport& report() { return report_; }

 private:
  struct Leaf {
    PageNumber number;
    Pbn pbn;
  };

  void tell(std::string text) {
    if (report_.details.size() < kDetails) report_.details.push_back(std::move(text));
  }

  // ---- the journal

  /// Step 2 of behaviour.md, 10. Two passes: the first counts and tells, the second applies range
  /// after range. A dry run keeps the changes in memory instead and lays them over the pages it
  /// reads.
  Task<Result<void>> replay_journal() {
    const JournalRing ring = journal_ring(super_);
    auto extent = co_await find_journal_extent(device_, ring, super_);
    if (!extent) co_return std::move(extent).error();
    extent_ = *extent;
    const RebuildJournal journal(super_, extent_);
    JournalReader reader(device_, ring);
    ReplayRanges counted(super_.config.physical_blocks);
    for (JournalSequence s = journal.first(); s <= journal.last(); ++s) {
      auto block = co_await reader.block(s);
      if (!block) co_return std::move(block).error();
      survey_block(journal, s, *block, counted);
    }
    overlay_.finish();
    if (dry_run_ || report_.journal_entries == 0) co_return Result<void>();
    PageReplay replay(executor_, device_, super_.nonce, PageReplay::Damage::take_as_empty,
                      replay_batch_);
    for (const ReplayRanges::Range range : counted.ranges(replay_batch_)) {
      for (JournalSequence s = journal.first(); s <= journal.last(); ++s) {
        auto block = co_await reader.block(s);
        if (!block) co_return std::move(block).error();
        // What is given up has been told.
        [[maybe_unused]] const auto visited = journal.visit(
            s, *block,
            [&](const PageChange& change) {
              if (range.contains(change.page())) replay.add(change);
            },
            [](unsigned) {});
        if (!replay.is_full()) continue;
        auto applied = co_await replay.apply();
        if (!applied) co_return applied;
      }
      auto applied = co_await replay.apply();
      if (!applied) co_return applied;
    }
    report_.pages_lost += replay.pages_replaced();
    co_return co_await device_.flush();
  }

  /// Counts what block `s` demands, and tells what of it is given up.
  void survey_block(const RebuildJournal& journal, JournalSequence s, ConstBytes block,
                    ReplayRanges& counted) {
    const auto visited = journal.visit(
        s, block,
        [&](const PageChange& change) {
          counted.count(change.page());
          if (dry_run_) overlay_.add(change);
        },
        [&](unsigned index) {
          ++report_.journal_entries_skipped;
          tell(RebuildJournal::invalid_text(s, index));
        });
    report_.journal_entries += visited.applied;
    if (visited.lost == 0) return;
    ++report_.journal_blocks_skipped;
    tell(RebuildJournal::lost_text(s, visited.lost));
  }

  // ---- slabs

  /// Step 3: no slab journal has a valid block any more, and the summary says that nothing was
  /// used.
  Task<Result<void>> empty_slabs() {
    const AlignedMemory zeros(kBlockSize * kBlocksPerWrite);
    const std::uint64_t ring = super_.depot.slab.slab_journal_blocks;
    for (SlabNumber slab = 0; slab < slabs_.slab_count(); ++slab) {
      for (std::uint64_t first = 0; first < ring; first += kBlocksPerWrite) {
        const std::size_t count = std::min<std::uint64_t>(kBlocksPerWrite, ring - first);
        auto done = co_await device_.write(slabs_.journal_block_at(slab, first),
                                           zeros.bytes().first(count * kBlockSize));
        if (!done) co_return done;
      }
    }
    co_return co_await write_summary();
  }

  /// The summary of slabs that are free, or whose counts have been written.
  /// Tail offset 0 in any case: the journals are new (volume.md, 5.3).
  Task<Result<void>> write_summary() {
    const AlignedMemory area(kSummaryBlocksPerZone * kBlockSize);
    for (SlabNumber n = 0; n < slabs_.slab_count(); ++n) {
      const auto used = static_cast<std::uint64_t>(
          std::ranges::count_if(counts_[n], [](ReferenceCount count) { return count != kFree; }));
      const std::uint64_t free = slabs_.data_blocks() - used;
      const bool is_written = counts_are_written_ && used > 0;
      set_summary_entry(area.block(summary_block(0, n)), n,
                        {0, fullness_hint(free, slabs_.slab_bits()), is_written, false});
    }
    const Pbn start = super_.find(PartitionId::slab_summary).start;
    for (unsigned zone = 0; zone < kSummaryZones; ++zone) {
      auto done =
          co_await device_.write(start + std::uint64_t{zone} * kSummaryBlocksPerZone, area.bytes());
      if (!done) co_return done;
    }
    co_return Result<void>();
  }

  [[nodiscard]] ReferenceCount& count_of(Pbn pbn) {
    std::vector<ReferenceCount>& slab = counts_[slabs_.slab_of(pbn)];
    // Memory for the slabs that are in use only.
    if (slab.empty()) slab.resize(slabs_.data_blocks());
    return slab[slabs_.sbn_of(pbn)];
  }

  /// Step 6. The flush before the summary makes stable the counts that it says are there.
  Task<Result<void>> write_counts() {
    const AlignedMemory memory(kBlocksPerWrite * kBlockSize);
    const std::uint64_t blocks = reference_blocks_used(slabs_.data_blocks());
    for (SlabNumber n = 0; n < counts_.size(); ++n) {
      if (counts_[n].empty()) continue;
      report_.data_blocks_used += static_cast<std::uint64_t>(
          std::ranges::count_if(counts_[n], [](ReferenceCount count) { return count != kFree; }));
      for (std::uint64_t first = 0; !dry_run_ && first < blocks; first += kBlocksPerWrite) {
        const std::size_t chunk = std::min<std::uint64_t>(kBlocksPerWrite, blocks - first);
        for (std::size_t i = 0; i < chunk; ++i) {
          const std::size_t at = (first + i) * kCountsPerBlock;
          pack_reference_block(
              memory.block(i),
              std::span(counts_[n])
                  .subspan(at, std::min<std::size_t>(kCountsPerBlock, counts_[n].size() - at)),
              JournalPoint{});
        }
        auto done = co_await device_.write(slabs_.reference_block(n, first),
                                           memory.bytes().first(chunk * kBlockSize));
        if (!done) co_return done;
      }
    }
    // Pages have been counted among them.
    report_.data_blocks_used -= report_.block_map_blocks;
    if (dry_run_) co_return Result<void>();
    auto done = co_await device_.flush();
    counts_are_written_ = true;
    if (done) done = co_await write_summary();
    co_return done;
  }

  // ---- the map

  /// A page as it counts: empty where it is not valid, and with what a dry run has not written.
  Task<void> load_page(Pbn pbn, MutableBytes page, bool& is_lost) {
    auto read = co_await device_.read(pbn, page);
    const PageStatus status = read ? page_status(page, super_.nonce, pbn) : PageStatus::bad;
    is_lost = status == PageStatus::bad;
    if (status != PageStatus::valid) format_page(page, super_.nonce, pbn);
    lay_over(page, overlay_.of(pbn));
  }

  void note_lost_page(Pbn pbn) {
    ++report_.pages_lost;
    tell(
        fmt::format("the block map page at physical block {} cannot be read or belongs to another "
                    "place",
                    pbn.value()));
  }

  /// Writes a changed page. One that was lost is written empty, not initialized, as a new one.
  Task<Result<void>> save_page(Pbn pbn, ConstBytes page) {
    if (dry_run_) co_return Result<void>();
    co_return co_await device_.write(pbn, page);
  }

  /// Step 4: visits a page and all below it, depth first. path_ has one page for each height, which
  /// stays valid as a deeper call uses those of lower heights only.
  Task<Result<void>> walk_tree(std::uint32_t root, unsigned height, std::uint64_t index, Pbn pbn) {
    const MutableBytes page = path_[height].bytes();
    bool changed = false;
    co_await load_page(pbn, page, changed);
    if (changed) note_lost_page(pbn);
    // Pages of the height below that this tree can have.
    const std::uint64_t limit = tree_size(super_.config.logical_blocks, root).pages[height - 1];
    for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
      const BlockMapping child = entry(page, slot);
      if (child == kUnmapped) continue;
      const std::uint64_t child_index = index * kEntriesPerPage + slot;
      const bool leads_on = child_index < limit && child.state == kStateUncompressed &&
                            slabs_.is_data_block(child.pbn) && count_of(child.pbn) == kFree;
      if (!leads_on) {
        ++report_.subtrees_cleared;
        tell(
            fmt::format("the block map page at physical block {} leads in slot {} to block {}, "
                        "which can be no page there",
                        pbn.value(), slot, child.pbn.value()));
        set_entry(page, slot, kUnmapped);
        changed = true;
        continue;
      }
      count_of(child.pbn) = kMaxReferences;
      ++report_.block_map_blocks;
      if (height == 1) {
        leaves_.push_back({page_of(root, child_index), child.pbn});
        continue;
      }
      auto done = co_await walk_tree(root, height - 1, child_index, child.pbn);
      if (!done) co_return done;
    }
    // A root needs no more than to be empty; other pages that are not initialized are saved as such
    // now, and once more by complete_pages().
    if (height < kRootHeight && !is_initialized(page)) {
      incomplete_.push_back(pbn);
      changed = true;
    }
    if (!changed) co_return Result<void>();
    co_return co_await save_page(pbn, page);
  }

  /// Tree pages that were lost, or never written before the volume failed, are stable now as empty
  /// ones: the second step of a new page's way to the disk.
  Task<Result<void>> complete_pages() {
    const AlignedMemory page(kBlockSize);
    for (const Pbn pbn : incomplete_) {
      auto done = co_await device_.read(pbn, page.bytes());
      set_initialized(page.bytes());
      if (done) done = co_await device_.write(pbn, page.bytes());
      if (!done) co_return done;
    }
    co_return Result<void>();
  }

  /// Step 5, in the order of the walk; reads run side by side, counting one after the other.
  Task<Result<void>> walk_leaves() {
    for (std::size_t first = 0; first < leaves_.size(); first += kLeavesAtOnce) {
      const std::size_t count = std::min(kLeavesAtOnce, leaves_.size() - first);
      std::array<bool, kLeavesAtOnce> changed{};
      TaskGroup reads(executor_);
      for (std::size_t i = 0; i < count; ++i) {
        reads.start(load_page(leaves_[first + i].pbn, leaves_memory_.block(i), changed[i]));
      }
      co_await reads.wait();
      for (std::size_t i = 0; i < count; ++i) {
        const Leaf& leaf = leaves_[first + i];
        if (changed[i]) note_lost_page(leaf.pbn);
        changed[i] |= count_leaf(leaf, leaves_memory_.block(i));
        if (!changed[i]) continue;
        auto done = co_await save_page(leaf.pbn, leaves_memory_.block(i));
        if (!done) co_return done;
      }
    }
    co_return Result<void>();
  }

  /// Counts the references of a leaf; clears what cannot be one. True if it cleared anything.
  bool count_leaf(const Leaf& leaf, MutableBytes page) {
    bool changed = false;
    for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
      const BlockMapping mapping = entry(page, slot);
      if (mapping == kUnmapped) continue;
      const Lbn lbn = first_lbn(leaf.number) + slot;
      std::uint64_t* problem = nullptr;
      if (lbn.value() >= super_.config.logical_blocks) {
        problem = &report_.beyond_end;
      } else if (!slabs_.is_valid(mapping)) {
        problem = &report_.invalid_mappings;
      } else if (mapping.pbn != kZeroPbn) {
        ReferenceCount& count = count_of(mapping.pbn);
        // A page of the map (254 from the walk), or a block with as many references as there can
        // be.
        if (count == kMaxReferences) {
          problem = &report_.over_referenced;
        } else {
          ++count;
        }
      }
      if (problem == nullptr) {
        ++report_.logical_blocks_used;
        continue;
      }
      ++*problem;
      tell(
          fmt::format("logical block {} is mapped to physical block {} (state {}), which cannot be",
                      lbn.value(), mapping.pbn.value(), mapping.state));
      set_entry(page, slot, kUnmapped);
      changed = true;
    }
    return changed;
  }

  Executor& executor_;
  PbnDevice device_;
  SuperBlock super_;
  SlabLayout slabs_;
  bool dry_run_;
  std::size_t replay_batch_;
  LogFunction log_;
  std::vector<std::vector<ReferenceCount>> counts_;  // by slab; empty: all free
  bool counts_are_written_ = false;
  JournalExtent extent_;
  PageChangeSet overlay_;                        // of a dry run: what the journal would change
  std::array<AlignedMemory, kTreeHeight> path_;  // the page of each height that is walked
  std::vector<Leaf> leaves_;
  std::vector<Pbn> incomplete_;  // tree pages, saved and not yet initialized
  AlignedMemory leaves_memory_;
  RebuildReport report_;
};

}  // namespace

Task<Result<RebuildReport>> rebuild_volume(Executor& executor, Device& device,
                                           const VolumeGeometry& geometry, SuperBlock& super_block,
                                           const RebuildOptions& options) {
  Rebuild rebuild(executor, device, geometry, super_block, options);
  auto done = co_await rebuild.run();
  if (!done) co_return std::move(done).error();
  if (!options.dry_run) rebuild.finish(super_block);
  RebuildReport& report = rebuild.report();
  if (options.log) {
    for (const std::string& line : report.details) options.log(line);
    options.log(
        fmt::format("{} journal entries applied, {} block map blocks, {} logical blocks "
                    "used, {} data blocks used, {} things given up",
                    report.journal_entries, report.block_map_blocks, report.logical_blocks_used,
                    report.data_blocks_used, report.losses()));
  }
  co_return std::move(report);
}

}  // namespace uvdo
