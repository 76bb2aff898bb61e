// SPDX-License-Identifier: GPL-2.0-or-later
// The volume as a subject of the simulation: the real engine on tiny slabs and tiny journals, so
// that all that is rare on a large volume (a full slab, a journal that goes round, a cache without
// a clean page) happens in each history. The seed decides the sizes and, at each start, the
// options.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "async/sim_random.h"
#include "format/volume_layout.h"
#include "profile.h"
#include "subject.h"
#include "volume/volume.h"

namespace uvdo::sim {

/// The sizes of a tiny volume. Only its journals are smaller than any that vdoformat makes.
struct VolumeShape {
  unsigned slab_bits = 10;
  std::uint32_t slabs = 4;
  std::uint32_t slab_journal_blocks = 32;
  std::uint32_t recovery_journal_blocks = 64;
  std::uint64_t logical_blocks = 61'000;  ///< 76 leaves
};

/// The layout of an empty volume of that shape.
[[nodiscard]] VolumeLayout make_tiny_layout(const VolumeShape& shape);

/// What is wrong with a stopped volume, in words; nothing if it is clean and consistent.
[[nodiscard]] std::optional<std::string> audit_image(const SparseImage& image);

/// Looks at a volume in whatever state with the offline tools: shows `look` what an export gives
/// for the first `blocks` logical blocks, and audits it.
[[nodiscard]] Subject::Seen look_at_image(const SparseImage& image, std::uint64_t blocks,
                                          const Subject::Look& look);

/// choose() decides by the seed alone; prepare() by the profile; open() takes further random
/// numbers for each start. A fixed shape is for tests that need certain sizes.
class VolumeSubject final : public Subject {
 public:
  VolumeSubject() { choose(1); }
  /// One that makes a mistake on purpose.
  explicit VolumeSubject(Fault fault) : faults_(fault) { choose(1); }
  explicit VolumeSubject(const VolumeShape& shape, FaultPoints mistake = {})
      : fixed_shape_(shape), faults_(mistake) {
    choose(1);
  }

  void choose(std::uint64_t seed) override;
  void prepare(const Profile& profile) override;
  [[nodiscard]] std::uint64_t variant() const override { return variant_; }
  [[nodiscard]] bool waits_for_room() const override { return true; }
  [[nodiscard]] bool outlives_death() const override { return true; }
  void die() override;
  void lose_power() override {
    own_ = {};
    // A start that reads it may have a turn or two until the history notices.
    lost_ = std::exchange(left_, {});
  }
  [[nodiscard]] std::uint64_t device_size() const override;
  [[nodiscard]] std::uint64_t logical_blocks() const override {
    return layout_.super_block.config.logical_blocks;
  }
  /// In the order of Critical.
  [[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint64_t>> critical_ranges()
      const override;
  Task<Result<void>> format(Executor& executor, Device& device) override;
  Task<Result<std::unique_ptr<Instance>>> open(Executor& executor, BackingStore& store) override;
  Task<Result<void>> repair(Executor& executor, BackingStore& store) override;
  [[nodiscard]] Seen look_offline(const SparseImage& image, std::uint64_t blocks,
                                  const Look& look) override;
  /// Also compares the savings that the volume has told last.
  [[nodiscard]] std::optional<std::string> audit(const SparseImage& image) override;
  /// What the instances since choose() told when they were stopped, one after the other.
  [[nodiscard]] const std::vector<VolumeStatistics>& told() const { return told_; }

 private:
  VolumeOptions next_options();
  /// Memory of a process: whoever has died keeps the content of that moment in left_.
  Task<Result<std::unique_ptr<Volume>>> open_volume(Executor& executor, BackingStore& store,
                                                    const VolumeOptions& options,
                                                    IndexFactory make_index, MutableBytes memory);
  IndexFactory make_uds_index();

  std::optional<VolumeShape> fixed_shape_;
  FaultPoints faults_;
  std::vector<VolumeStatistics> told_;
  bool keeps_memory_ = false;
  MutableBytes own_;  // of the process that lives
  std::vector<AlignedMemory> left_;
  std::vector<AlignedMemory> lost_;  // nobody is given it any more
  std::uint64_t variant_ = 0;
  VolumeLayout layout_;
  IndexKind index_ = IndexKind::forgetful;
  bool is_index_patient_ = true;  // it has the time that it needs
  bool is_index_sparse_ = false;
  std::uint64_t blocks_of_clients_ = 0;
  SimRandom random_{1};
};

}  // namespace uvdo::sim
