// SPDX-License-Identifier: GPL-2.0-or-later
// Small histories, exhaustively: a few operations on a tiny volume, and every disk that a power cut
// at any moment could have left behind. Each is recovered, compared with the model, stopped and
// audited.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/fault_points.h"
#include "device/crash_states.h"
#include "model.h"

namespace uvdo::sim {

/// Each has fixed places and contents (changes_of()), chosen so that they meet: on blocks that
/// share data, on members of one compressed block, on a block that is there twice.
enum class SmallOperation : std::uint8_t {
  write_new,     ///< new data where nothing is
  duplicate,     ///< data that is there already, over other data
  zero,          ///< zeros over data
  compressible,  ///< compressible data over a compressed block
  overwrite,     ///< new data over data that is there twice
  discard,       ///< two blocks
  flush,
  fua,        ///< new data with FUA over data
  sub_block,  ///< one sector inside a block
  // Those below only in histories that name them.
  grow_logical,   ///< twice the logical size
  grow_physical,  ///< one more slab
  suspend,        ///< saved, and resumed after a while
  pause,          ///< the same without saving
};
inline constexpr std::array<std::string_view, 13> kSmallOperations{
    "write-new", "duplicate", "zero",         "compressible",  "overwrite", "discard", "flush",
    "fua",       "sub-block", "grow-logical", "grow-physical", "suspend",   "pause"};
/// So many of them make up all histories.
inline constexpr std::size_t kUsualSmallOperations = 9;

struct SmallHistory {
  std::vector<SmallOperation> operations;
  /// All operations begin at once; otherwise each when the one before has been answered.
  bool together = false;
  /// Only two blocks of the volume are free, so that freed ones are used again at once.
  bool full = false;
  /// Decides how long the disk takes and in which order coroutines run.
  std::uint64_t seed = 1;
};
/// "write-new flush fua, together, full, seed 1".
[[nodiscard]] std::string describe(const SmallHistory& history);

struct SmallCounts {
  std::uint64_t histories = 0;
  std::uint64_t points = 0;    ///< moments at which the power can be cut
  std::uint64_t images = 0;    ///< disks that this may leave behind
  std::uint64_t distinct = 0;  ///< of all histories together, those recovered; others are equal
};

/// A history is run once, on a disk that notes all its events; then the power is cut behind each
/// event, and each disk that this may have left is recovered on its own.
class SmallHistories {
 public:
  /// With `options` one can say how many images of a moment are built when there are too many.
  explicit SmallHistories(const CrashStateOptions& options, FaultPoints mistake = {});
  ~SmallHistories();

  /// What is wrong with the first bad image; empty if none is. Images that an earlier history has
  /// left with the same promises are not recovered again.
  [[nodiscard]] std::string run(const SmallHistory& history);
  /// Of all calls of run() together.
  [[nodiscard]] const SmallCounts& counts() const { return counts_; }
  /// Gets a line for each step of the histories (not of the recoveries).
  void set_trace(std::function<void(std::string_view)> trace) { trace_ = std::move(trace); }

 private:
  struct Base;
  struct Run;
  /// Blocks that a volume has been told to have.
  struct Sizes {
    std::uint64_t logical = 0;
    std::uint64_t physical = 0;
  };
  /// The volume on which histories run; made when it is first needed.
  const Base& base(bool full);
  /// Runs a history. What went wrong already then, or nothing.
  std::string record(const Base& base, const SmallHistory& history, Run& run) const;
  /// What is wrong with an image when it is looked at, opened, read and stopped; `model` knows what
  /// was promised by then.
  std::string recover(SparseImage image, Model& model, const Sizes& at_least) const;

  CrashStateOptions options_;
  FaultPoints mistake_;
  std::array<std::unique_ptr<Base>, 2> bases_;
  std::unordered_set<std::uint64_t> seen_;
  SmallCounts counts_;
  std::function<void(std::string_view)> trace_;
};

}  // namespace uvdo::sim
