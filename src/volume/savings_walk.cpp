// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/savings_walk.h"

#include "async/alarm.h"
#include "base/saturating.h"

namespace uvdo {
namespace {

/// Work to count an entry of the map.
constexpr std::uint64_t kUnitsPerEntry = 5;

}  // namespace

Task<void> SavingsWalk::count(Duration patience) {
  // The counts of a volume that was opened for reading are not known.
  if (!may_walk() || life_.is_for_reading()) co_return;
  if (!savings_.has_begun()) {
    savings_.begin();
    walking_.start(walk());
  }
  const TimePoint deadline = executor_.now() + patience;
  Alarm pause(executor_);
  while (!savings_.is_complete() && may_walk() && executor_.now() < deadline) {
    // Who asks looks again now and then: that is rare, and needs no queue.
    co_await pause.sleep(std::chrono::milliseconds(2));
  }
}

Task<void> SavingsWalk::walk() {
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    if (!co_await walk_tree(root)) co_return;
  }
  savings_.complete();
}

/// False: the volume stops, or the map cannot be read; the figures stay unknown.
Task<bool> SavingsWalk::walk_tree(std::uint32_t root) {
  std::uint64_t from = 0;
  while (!life_.is_stopping()) {
    // Asked anew each time: the volume may have grown.
    const std::uint64_t leaves = leaf_count(super_blocks_.current().config.logical_blocks);
    savings_.watch();
    auto next = co_await map_.next_leaf(root, from, leaves_of_tree(root, leaves));
    if (!next) co_return false;
    LeafPin leaf;
    if (*next) {
      auto loaded = co_await map_.leaf(page_of(root, **next));
      if (!loaded) co_return false;
      leaf = std::move(*loaded);
    }
    // A leaf that was made behind the walk's back while it waited.
    const auto place =
        *next ? SavingsCounter::position(root, **next) : SavingsCounter::position(root + 1, 0);
    if (savings_.has_missed(place)) continue;
    if (!*next) {
      savings_.advance(place);
      co_return !life_.is_stopping();
    }
    // Counted without a wait between has_missed() and advance(): no change comes in between.
    if (leaf) count_leaf(*leaf);
    savings_.advance(place + 1);
    from = **next + 1;
    executor_.spend(kEntriesPerPage * kUnitsPerEntry);
    co_await executor_.give_way();
  }
  co_return false;
}

void SavingsWalk::count_leaf(const MapPage& leaf) {
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    const BlockMapping mapping = leaf.entry(slot);
    if (depot_.layout().is_valid(mapping)) savings_.add(mapping);
  }
}

void SavingsWalk::add_to(VolumeStatistics& s) const {
  s.savings.thin_blocks = difference(s.logical_blocks, s.logical_blocks_used);
  if (!savings_.is_complete()) return;
  s.savings.zero_blocks = savings_.zero_blocks();
  s.savings.fragments_mapped = savings_.fragments_mapped();
  const std::uint64_t compressed = difference(savings_.fragments(), savings_.compressed_blocks());
  s.savings.compressed_blocks = compressed;
  // Blocks of writes on their way are in use already, but nothing is mapped to them yet.
  const std::uint64_t with_data = difference(s.logical_blocks_used, savings_.zero_blocks());
  const std::uint64_t accounted = s.data_blocks_used + compressed;
  s.savings.deduplicated_blocks = difference(with_data, accounted);
}

}  // namespace uvdo
