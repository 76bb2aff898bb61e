// SPDX-License-Identifier: GPL-2.0-or-later
// The start of a volume whose last process died and has left its memory: what it had answered is
// brought to the disk before anybody is served.
//
// What holds here: only memory of the run that the super block tells of is used; until all of it is
// stable that memory stays as it is, so that a death in between loses nothing; nothing that is in
// it is believed before it was checked.
#pragma once

#include <string>
#include <vector>

#include "async/executor.h"
#include "base/log.h"
#include "device/pbn_device.h"
#include "volume/kept_memory.h"

namespace uvdo {

/// Memory that outlives processes, at 4096-byte boundaries; it stays until the volume's end.
struct KeptMemories {
  MutableBytes own;              ///< of this process; empty: nothing of it is kept
  std::vector<ConstBytes> left;  ///< what processes that died have left, in any order
};

/// What became of the writes that a process which died had answered.
struct KeptReport {
  bool was_dirty = false;     ///< the last process of the volume had not saved it
  bool was_found = false;     ///< there was such memory of the volume
  std::uint64_t entries = 0;  ///< of the journal, that were not on disk
  std::uint64_t blocks = 0;   ///< that were not in the journal
  /// Why some may be lost; empty if none are.
  std::string loss;
};

class KeptStart {
 public:
  explicit KeptStart(std::vector<ConstBytes> left) : left_(std::move(left)) {}

  /// Looks for the memory of the volume as it is on disk.
  void choose(const VolumeGeometry& geometry, const SuperBlock& on_disk, const LogFunction& log);
  /// Writes the journal's last blocks. Before the journal is read. io: it could not be done now.
  Task<Result<void>> finish_journal(Executor& executor, PbnDevice blocks, const SuperBlock& on_disk,
                                    const LogFunction& log);
  /// Whether there are writes to be made.
  [[nodiscard]] bool is_due() const { return source_.has_value() && report_.loss.empty(); }
  /// Of the run whose memory that is.
  [[nodiscard]] VolumeRun predecessor() const {
    return source_ ? source_->header.run : VolumeRun{};
  }
  /// The writes; those of no block of a volume of `logical_blocks` are left out and told.
  [[nodiscard]] std::vector<KeptBlock> blocks(std::uint64_t logical_blocks, const LogFunction& log);
  [[nodiscard]] KeptReport& report() { return report_; }
  /// Something that was answered may not be there.
  void lose(std::string why, const LogFunction& log);

 private:
  struct Found {
    ConstBytes memory;
    KeptHeader header;
    bool has_journal = false;  ///< what it has of the journal goes on with the one on disk
  };

  std::vector<ConstBytes> left_;
  std::optional<Found> source_;
  KeptReport report_;
};

}  // namespace uvdo
