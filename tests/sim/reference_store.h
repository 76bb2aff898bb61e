// SPDX-License-Identifier: GPL-2.0-or-later
// A small correct block store: data goes to fresh blocks, a flush writes the whole map to one of
// two areas in turn. It exists to test the simulation itself, together with mistakes that can be
// switched on one by one, each of which the simulation has to notice.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "profile.h"
#include "subject.h"

namespace uvdo::sim {

enum class Mistake : std::uint8_t {
  none,
  ignore_flush,         ///< a flush is answered and nothing is done
  ignore_fua,           ///< FUA is taken for an ordinary write
  overwrite_in_place,   ///< a block is overwritten where it is, and can be torn
  map_before_data,      ///< no device flush between the data and the map that names it
  map_without_flush,    ///< no device flush behind the map
  reuse_too_early,      ///< superseded blocks are reused before the new map is stable
  one_map_area,         ///< the only good map is overwritten
  no_map_checksum,      ///< a torn map is taken for a good one
  flush_joins_running,  ///< a flush is answered with one that began before it
  unlocked_update,      ///< reads, changes and writes a block without a lock
  unlocked_read,        ///< reads a block that can be freed and reused meanwhile
  acknowledge_early,    ///< a write is answered before reads see it
  swallow_write_error,  ///< a failed write of data counts as done
  swallow_flush_error,  ///< a failed flush counts as done
  discard_too_much,     ///< a discard of parts of blocks takes them whole
  extents_lie,          ///< data is reported as a hole
  buffer_reused,        ///< a buffer is changed while the device writes it
};

/// Every mistake with its name for the command line.
[[nodiscard]] std::span<const std::pair<std::string_view, Mistake>> mistakes();

class ReferenceSubject final : public Subject {
 public:
  explicit ReferenceSubject(Mistake mistake = Mistake::none) : mistake_(mistake) {}
  /// None in which a stop or a flush meets clients that go on: it makes no order among them.
  [[nodiscard]] bool takes(const Profile& profile) const override { return profile.probes == 0; }
  [[nodiscard]] std::uint64_t device_size() const override;
  [[nodiscard]] std::uint64_t logical_blocks() const override;
  Task<Result<void>> format(Executor& executor, Device& device) override;
  Task<Result<std::unique_ptr<Instance>>> open(Executor& executor, BackingStore& store) override;

 private:
  Mistake mistake_;
};

}  // namespace uvdo::sim
