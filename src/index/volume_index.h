// SPDX-License-Identifier: GPL-2.0-or-later
// The volume index: which chapter a name was last seen in. A dense index has one sub-index for
// all names; a sparse one has one for its hooks (a name in 32), which reaches back over all
// chapters, and one for the others, which knows the dense chapters only (index.md, 8).
#pragma once

#include <span>
#include <vector>

#include "index/volume_sub_index.h"

namespace uvdo {

/// What the sub-indexes have in common; a name belongs to exactly one of them.
class VolumeIndex {
 public:
  /// A name's place, with the sub-index that it belongs to.
  struct Place {
    VolumeSubIndex* sub = nullptr;
    VolumeSubIndex::Place at;
  };

  explicit VolumeIndex(const IndexGeometry& geometry) : sparse_(geometry.sparse) {
    // The order of a saved stream: those that are not hooks first (index.md, 8.5).
    subs_.emplace_back(geometry.dense);
    if (sparse_) subs_.emplace_back(geometry.hooks);
  }

  /// Whether a name is a sample of a sparse index.
  [[nodiscard]] bool is_hook(const RecordName& name) const {
    return sparse_ && load_be16(name.bytes.data() + 14) % kSparseSampleRate == 0;
  }
  [[nodiscard]] Place place_of(const RecordName& name) {
    VolumeSubIndex& sub = subs_[is_hook(name) ? 1 : 0];
    return {&sub, sub.place_of(name)};
  }
  /// What is done next at some places.
  enum class Access : std::uint8_t { lookup, record };
  /// Brings near what that needs; prefetch_start() was called for each of them before.
  static void prefetch(std::span<const Place> places, Access access) {
    // Each step for all places before the next one, so that the memory's answers overlap.
    for (const Place& place : places) place.sub->prefetch_list(place.at);
    for (const Place& place : places) {
      if (access == Access::record) {
        place.sub->prefetch_to_end(place.at);
      } else {
        place.sub->prefetch_entries(place.at);
      }
    }
  }
  /// In the order of a saved stream.
  [[nodiscard]] std::span<VolumeSubIndex> subs() { return subs_; }
  [[nodiscard]] std::span<const VolumeSubIndex> subs() const { return subs_; }
  void advance_to(std::uint64_t chapter) {
    for (VolumeSubIndex& sub : subs_) sub.advance_to(chapter);
  }
  void set_range(std::uint64_t low, std::uint64_t high) {
    for (VolumeSubIndex& sub : subs_) sub.set_range(low, high);
  }
  [[nodiscard]] std::uint64_t entries() const { return sum(&VolumeSubIndex::entries); }
  [[nodiscard]] std::uint64_t discarded() const { return sum(&VolumeSubIndex::discarded); }

 private:
  [[nodiscard]] std::uint64_t sum(std::uint64_t (VolumeSubIndex::*count)() const) const {
    std::uint64_t total = 0;
    for (const VolumeSubIndex& sub : subs_) total += (sub.*count)();
    return total;
  }
  bool sparse_;
  std::vector<VolumeSubIndex> subs_;
};

}  // namespace uvdo
