// SPDX-License-Identifier: GPL-2.0-or-later
// What the simulation runs: something that turns a device into a block service. The volume is one;
// a small reference store, right and deliberately wrong, proves that the simulation sees mistakes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/executor.h"
#include "async/sim_random.h"
#include "async/task.h"
#include "base/result.h"
#include "block/block_service.h"
#include "device/backing_store.h"
#include "device/sparse_image.h"

namespace uvdo::sim {

struct Profile;

/// A running service. stop() is called once, also when its device is dead; then it is destroyed.
class Instance {
 public:
  Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  virtual ~Instance() = default;
  virtual BlockService& service() = 0;
  virtual Task<Result<void>> stop() = 0;
  /// Ends the process if something is not as it must be between any two steps.
  virtual void check_invariants() const {}
  /// Changes something of the running service that its clients only notice by waiting. A sentence
  /// if that went wrong; one that may not matter if the device is dead or has failed meanwhile.
  virtual Task<std::string> change(SimRandom& random) {
    static_cast<void>(random);
    co_return std::string();
  }
  /// Looks closely at the running service, of which the clients take no notice meanwhile. A
  /// sentence if something is wrong; one that may not matter as with change().
  virtual Task<std::string> examine(SimRandom& random) {
    static_cast<void>(random);
    co_return std::string();
  }
};

/// Structures of a volume, in the order of its critical_ranges(); the last three of its first slab.
enum class Critical : std::uint8_t { summary, journal, counts, slab_journal, data };

/// One object serves many histories, one after the other; choose() begins each. All devices and
/// executors are the history's.
class Subject {
 public:
  Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  virtual ~Subject() = default;

  /// Called before each history: a subject that comes in several sizes chooses by the seed.
  virtual void choose(std::uint64_t seed) { static_cast<void>(seed); }
  /// Called when a history of this kind begins.
  virtual void prepare(const Profile& profile) { static_cast<void>(profile); }
  /// Names the size that was chosen: equal variants have equal formatted devices.
  [[nodiscard]] virtual std::uint64_t variant() const { return 0; }
  [[nodiscard]] virtual std::uint64_t device_size() const = 0;
  /// Blocks of 4096 bytes that it offers to clients.
  [[nodiscard]] virtual std::uint64_t logical_blocks() const = 0;
  /// Ranges of the device, in bytes, in which structures lie whose changes are worth a power cut
  /// at that very moment.
  [[nodiscard]] virtual std::vector<std::pair<std::uint64_t, std::uint64_t>> critical_ranges()
      const {
    return {};
  }
  virtual Task<Result<void>> format(Executor& executor, Device& device) = 0;
  virtual Task<Result<std::unique_ptr<Instance>>> open(Executor& executor, BackingStore& store) = 0;
  /// Whether histories of this kind are for it.
  [[nodiscard]] virtual bool takes(const Profile& profile) const {
    static_cast<void>(profile);
    return true;
  }
  /// Whether it waits while its disk has no room, and loses nothing by that.
  [[nodiscard]] virtual bool waits_for_room() const { return false; }
  /// Whether what it had answered is there when its process has died and the machine lives on.
  [[nodiscard]] virtual bool outlives_death() const { return false; }
  /// Called at the moment of that: what it has in memory now is what the next open() finds.
  virtual void die() {}
  /// Called at the moment of a power cut: memory is gone.
  virtual void lose_power() {}
  /// Makes a device usable again that an error has left read-only, before it is opened.
  virtual Task<Result<void>> repair(Executor& executor, BackingStore& store) {
    static_cast<void>(executor);
    static_cast<void>(store);
    co_return Error(Errc::unsupported, "this subject cannot be repaired");
  }
  /// Is shown what a block holds (nothing: zeros), and explains what is wrong with that.
  using Look = std::function<std::optional<std::string>(std::uint64_t block, ConstBytes found)>;
  struct Seen {
    std::optional<std::string> wrong;  ///< an explanation
    bool is_final = false;  ///< whether every later start has to find the same in all blocks
  };
  /// Looks with offline tools at a device that is in no clean state, or any other: at its
  /// consistency, and at the contents of its first `blocks` blocks, in their order; those that were
  /// never written to may be left out.
  [[nodiscard]] virtual Seen look_offline(const SparseImage& image, std::uint64_t blocks,
                                          const Look& look) {
    static_cast<void>(image);
    static_cast<void>(blocks);
    static_cast<void>(look);
    return {};
  }
  /// Looks for inconsistencies in a cleanly stopped device; an explanation if there are any.
  [[nodiscard]] virtual std::optional<std::string> audit(const SparseImage& image) {
    static_cast<void>(image);
    return std::nullopt;
  }
};

}  // namespace uvdo::sim
