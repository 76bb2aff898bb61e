// SPDX-License-Identifier: GPL-2.0-or-later
// What zero blocks, deduplication and compression save on a volume in use. Nobody counts it until
// somebody asks; then a walk over the block map makes it out in the background, and every change of
// the map keeps it true.
#include "volume/volume.h"

namespace uvdo {
namespace {

/// Work to count an entry of the map.
constexpr std::uint64_t kUnitsPerEntry = 5;

}  // namespace

Task<void> Volume::count_savings(Duration patience) {
  // The counts of a volume that was opened for reading are not known.
  if (stopping_ || suspended_ || opened_read_only_) co_return;
  if (!savings_.has_begun()) {
    savings_.begin();
    walks_.start(walk_for_savings());
  }
  const TimePoint deadline = executor_.now() + patience;
  Alarm pause(executor_);
  while (!savings_.is_complete() && !stopping_ && !suspended_ && executor_.now() < deadline) {
    co_await pause.sleep(std::chrono::milliseconds(2));
  }
}

Task<void> Volume::walk_for_savings() {
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    std::uint64_t from = 0;
    while (!stopping_) {
      const std::uint64_t leaves = leaf_count(super_block_.config.logical_blocks);
      const std::uint64_t limit =
          leaves > root ? (leaves - root + kBlockMapRoots - 1) / kBlockMapRoots : 0;
      savings_.watch();
      auto next = co_await map_->next_leaf(root, from, limit);
      if (!next) co_return;  // the map cannot be read; the figures stay unknown
      LeafPin leaf;
      if (*next) {
        auto loaded = co_await map_->leaf(page_of(root, **next));
        if (!loaded) co_return;
        leaf = std::move(*loaded);
      }
      // A leaf that was made behind the walk's back while it waited.
      const auto place =
          *next ? SavingsCounter::position(root, **next) : SavingsCounter::position(root + 1, 0);
      if (savings_.has_missed(place)) continue;
      if (!*next) {
        savings_.advance(place);
        break;
      }
      for (unsigned slot = 0; leaf && slot < kEntriesPerPage; ++slot) {
        const BlockMapping mapping = leaf->entry(slot);
        if (depot_->layout().is_valid(mapping)) savings_.add(mapping);
      }
      savings_.advance(place + 1);
      from = **next + 1;
      executor_.spend(kEntriesPerPage * kUnitsPerEntry);
      co_await executor_.give_way();
    }
    if (stopping_) co_return;
  }
  savings_.complete();
}

void Volume::add_savings(VolumeStatistics& s) const {
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
