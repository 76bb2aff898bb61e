// SPDX-License-Identifier: GPL-2.0-or-later
// A tiny volume that can be crashed: a recovery journal of 64 blocks and slabs of 1024, so that
// rings go round within a test, and a model that knows what each block may hold.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "crash_device.h"
#include "format/super_block.h"
#include "volume/volume.h"

namespace uvdo {

/// A test is a chain of uses: each opens a volume on what the last one has left. A block of the
/// model has a set of contents that it may hold; a flush leaves the last one, a crash any of them.
class RecoveryFixture : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kJournalBlocks = 64;
  static constexpr std::uint64_t kSlabBlocks = 1024;
  static constexpr std::uint64_t kLogicalBlocks = 50'000;

  RecoveryFixture();
  void SetUp() override;
  /// Shows what the volume said last, if the test has failed.
  void TearDown() override;

  /// A run on its own executor with a new device of content_; afterwards content_ is what the
  /// device holds, or what survived if it has crashed.
  void run(const std::function<Task<void>(BackingStore&)>& body,
           std::uint64_t fail_after = UINT64_MAX, Survival survival = Survival::everything);
  /// The same with an opened volume, which is stopped at the end, crashed, or left as it is.
  enum class End : std::uint8_t { stop, crash, leave };
  void use(const std::function<Task<void>(Volume&)>& body, End end,
           Survival survival = Survival::nothing, std::uint64_t fail_after = UINT64_MAX);

  // Changes, in the volume and in the model.
  Task<void> write(Volume& volume, std::uint64_t lbn, std::uint64_t seed, std::uint64_t count = 1);
  Task<void> discard(Volume& volume, std::uint64_t lbn, std::uint64_t count);
  Task<void> flush(Volume& volume);

  /// Every block holds what it may; afterwards the model knows what it is.
  Task<void> check_content(Volume& volume);
  /// Opens, checks, stops, audits.
  void expect_recovered();
  void expect_consistent();
  [[nodiscard]] SuperBlock super_block() const;
  void set_state(VolumeState state);
  std::array<std::byte, kBlockSize>& block(Pbn pbn) { return content_[pbn.value()]; }
  [[nodiscard]] bool has_logged(std::string_view part) const;

  Executor* executor_ = nullptr;   ///< of the run that is going on
  CrashDevice* device_ = nullptr;  ///< likewise
  VolumeOptions options_;
  DiskContent content_;
  std::uint64_t device_bytes_ = 0;
  std::uint64_t writes_ = 0;  ///< of the last run
  bool failed_ = false;       ///< whether `fail_after` cut the last run off
  // An error of the opening is no failure of the test then; open_error_ has it.
  bool may_fail_to_open_ = false;
  std::string open_error_;
  std::mt19937_64 random_;
  std::vector<std::string> log_;

 private:
  static void fill(MutableBytes data, std::uint64_t seed);
  Pbn super_block_at_;
  std::map<std::uint64_t, std::set<std::uint64_t>> model_;  // block to seeds; 0: zeros
  std::map<std::uint64_t, std::uint64_t> last_;             // answered, not yet flushed
};

}  // namespace uvdo
