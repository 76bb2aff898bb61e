// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume knows about its blocks, and the one place where that changes: the recovery journal,
// the reference counts and the block map (behaviour.md, 5).
//
// What holds here:
//   - An entry of the map, the counts of the block that it names and of the one that it named, and
//     the journal entry that says so change together, without a wait in between, or not at all.
//   - The counts of data blocks are the references of the map, and besides them provisional ones of
//     blocks that were given out and not referred to yet.
//   - In memory a change counts at once. On disk the journal entry is first: its point goes with
//     the change to the slab's journal and to the page of the map, which wait for it.
//   - What the journal counts as used is what the map has mapped.
//   - A change that cannot be undone halfway makes the volume read-only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/log.h"
#include "base/unset.h"
#include "blockmap/block_map.h"
#include "depot/slab_depot.h"
#include "format/super_block.h"
#include "journal/read_only_notifier.h"
#include "journal/recovery_journal.h"
#include "ledger/savings_counter.h"

namespace uvdo {

/// What a ledger takes memory for.
struct LedgerSettings {
  std::uint32_t block_map_cache_pages = 0;
  std::uint32_t block_map_maximum_age = 0;  ///< journal blocks
  DepotPools depot;
  FaultPoints faults;  ///< mistakes to be made on purpose, in tests
  /// Of the recovery journal, where the death of the process is to lose no entry.
  MutableBytes journal_memory{};
};

/// It owns journal, depot and map. Everything runs on the thread of the metadata; what is a plain
/// function here neither waits nor lets others run, which is what makes a change one.
class Ledger final : private PageAllocator {
 public:
  /// Of the volume that `super_block` tells of. Nothing is read yet.
  Ledger(Executor& executor, PbnDevice blocks, const SuperBlock& super_block,
         const LedgerSettings& settings, ReadOnlyNotifier& notifier, LogFunction log);
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  RecoveryJournal& journal() { return journal_; }
  [[nodiscard]] const RecoveryJournal& journal() const { return journal_; }
  SlabDepot& depot() { return depot_; }
  [[nodiscard]] const SlabDepot& depot() const { return depot_; }
  BlockMap& map() { return map_; }
  [[nodiscard]] const BlockMap& map() const { return map_; }
  SavingsCounter& savings() { return savings_; }

  // ---- changes

  enum class Outcome : std::uint8_t {
    done,
    cannot_share,           ///< the block has no reference left to give
    must_wait_for_journal,  ///< nothing was done; wait_for() it
    must_wait_for_depot,
  };
  [[nodiscard]] static bool is_waiting(Outcome outcome) {
    return outcome == Outcome::must_wait_for_journal || outcome == Outcome::must_wait_for_depot;
  }
  struct Remapped {
    Outcome outcome = Outcome::done;
    JournalPoint point;  ///< of the journal entry, if it is done
  };
  /// Whose the block of a new mapping is.
  enum class Owner : std::uint8_t {
    caller,  ///< it was given out to the caller, or there is none
    others,  ///< one more reference is made to it, if it has one left
  };
  /// Makes the entry of `lbn` in a pinned leaf say `mapping`, or does nothing at all if that has to
  /// wait. An entry that was invalid is taken as unmapped, and that is logged.
  Result<Remapped> remap(MapPage& leaf, Lbn lbn, BlockMapping mapping, Owner owner);
  /// Waits until what stood in the way of a change may be gone.
  Task<void> wait_for(Outcome outcome);

  /// remap() to a mapping without a block for as many of the `count` blocks from `first` on as can
  /// be done at one go: those that leave data of one slab, up to the first for which
  /// is_taken(lbn). Returns their number. 0: remap() must see to the first.
  template <class IsTaken>
  Result<std::uint64_t> drop(MapPage& leaf, Lbn first, std::uint64_t count, BlockMapping mapping,
                             IsTaken&& is_taken) {
    if (notifier_.is_read_only()) return notifier_.error();
    const unsigned slot = leaf_slot(first);
    UVDO_UNSET std::array<BlockMapping, kEntriesPerBlock> old;  // NOLINT: filled as far as used
    const std::size_t most = std::min<std::uint64_t>(count, journal_.room_in_block());
    const std::size_t found = depot_.gather_run(
        std::span(old).first(most), [&](std::size_t i) -> std::optional<BlockMapping> {
          if (is_taken(first + i)) return std::nullopt;
          return leaf.entry(slot + static_cast<unsigned>(i));
        });
    return drop_run(leaf, first, std::span(old).first(found), mapping);
  }

  // ---- room

  /// Called before somebody waits for a block that others were promised: whoever keeps promises
  /// without using them is to come to an end.
  void on_wanting(std::function<void()> f) { on_wanting_ = std::move(f); }
  /// A provisional block, where none was promised: waits as long as one may come free.
  /// `before_waiting` is called before it waits for other writes. no_space: none will; or the
  /// error of read-only mode.
  template <class Call>
  Task<Result<Pbn>> seek_block(Call before_waiting) {
    while (true) {
      if (const auto run = depot_.allocate(1, false)) co_return run->first;
      if (notifier_.is_read_only()) co_return notifier_.error();
      if (depot_.has_pending_frees()) {
        co_await depot_.wait_for_frees();
      } else if (depot_.unscrubbed() > 0) {
        co_await depot_.wait_for_scrub();  // there may be free blocks in the slabs to come
      } else if (depot_.has_promises()) {
        // Others may find that they need none: theirs are zeros, or duplicates, or get smaller.
        // They come to their end, for nothing that they may wait for is held here: not the packer,
        // not small writes that gather, not the part of an agent.
        before_waiting();
        on_wanting_();
        // That may have given room back already, and nobody else be left who could.
        if (depot_.free_blocks() == 0 && depot_.has_promises()) {
          co_await depot_.wait_for_promises();
        }
      } else {
        co_return Error(Errc::no_space, "the volume has no free physical block left");
      }
    }
  }

  /// Lets everybody look again who waits for what does not come any more: the volume has become
  /// read-only.
  void wake_waiters();

  /// Whether slabs still wait for scrubbing after a crash; all is used as ever meanwhile.
  [[nodiscard]] bool is_recovering() const {
    return depot_.unscrubbed() > 0 && !notifier_.is_read_only();
  }
  /// How far that has come: 0..100.
  [[nodiscard]] unsigned recovery_percentage() const {
    const std::uint64_t slabs = depot_.slab_count();
    if (slabs == 0 || !is_recovering()) return 100;
    return static_cast<unsigned>((slabs - depot_.unscrubbed()) * 100 / slabs);
  }

  /// Says of the larger volume of `super_block`, which is stable, what the parts must know. (The
  /// depot has made its new slabs before.)
  void tell_of_growth(const SuperBlock& super_block);
  /// What can be checked at any time between two steps of the executor; a violation ends the
  /// process.
  void check_invariants() const;

 private:
  // Of new pages of the map, whose entries in their parents the map itself changes (PageAllocator).
  Task<Result<Pbn>> allocate_page() override;
  Task<Result<void>> wait_for_room(Pbn pbn) override;
  Result<JournalPoint> commit_page(Pbn parent, unsigned slot, Pbn page) override;

  /// The second half of drop(): `old` is what gather_run() took, so nothing has to wait any more.
  Result<std::uint64_t> drop_run(MapPage& leaf, Lbn first, std::span<const BlockMapping> old,
                                 BlockMapping mapping);
  /// The counts differ from the journal now.
  Error fail(Error error);

  ReadOnlyNotifier& notifier_;
  FaultPoints faults_;
  LogFunction log_;
  RecoveryJournal journal_;
  SlabDepot depot_;
  BlockMap map_;
  SavingsCounter savings_;
  std::function<void()> on_wanting_ = [] {};
};

}  // namespace uvdo
