// SPDX-License-Identifier: GPL-2.0-or-later
// The check of a stopped volume: the audit, and the list of blocks that cannot be read.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "inspect/audit.h"
#include "inspect/content_reader.h"
#include "manage/stopped_volume.h"

namespace uvdo {

struct CheckReport {
  std::string volume;
  /// As the super block says, before any replay.
  VolumeState state{};
  bool is_replayed = false;                    ///< seen with what its journal says
  bool is_seen_as_rebuilt = false;             ///< as a rebuild would leave it
  std::uint64_t blocks_lost_with_journal = 0;  ///< logical ones, at most
  std::optional<std::string> replayed{};       ///< how the journal was applied, in a sentence
  std::optional<std::string> left_out{};       ///< that it was left out on demand
  /// Findings and contents, counted; `found` of StoppedCheck::run() was told each finding.
  AuditSummary summary;
};

/// A volume that is being checked; nobody can serve it meanwhile.
class StoppedCheck {
 public:
  /// busy: it is being served; else as VolumeImage::open().
  static Result<StoppedCheck> open(const std::string& path, ImageOptions options);

  /// Reads all, and calls `found` for each finding.
  CheckReport run(const AuditOptions& options, const std::function<void(const Finding&)>& found);
  /// Reads everything once more, in the order of logical blocks: calls `damaged` for each run of
  /// them that cannot be read, and `progress` with how many of all were looked at. What else is
  /// lost, with a damaged journal and nobody knows where, in a sentence.
  std::optional<std::string> find_damaged(
      const std::function<void(const ContentRun&)>& damaged,
      const std::function<void(std::uint64_t done, std::uint64_t all)>& progress);

 private:
  explicit StoppedCheck(std::unique_ptr<VolumeImage> image) : image_(std::move(image)) {}
  std::unique_ptr<VolumeImage> image_;
};

}  // namespace uvdo
