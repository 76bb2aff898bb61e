// SPDX-License-Identifier: GPL-2.0-or-later
// The contents of a stopped volume as a sparse file, on a block device, or in standard output.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "inspect/content_reader.h"
#include "manage/obstacle.h"
#include "manage/stopped_volume.h"

namespace uvdo {

struct ExportReport {
  std::uint64_t logical_bytes = 0;
  std::uint64_t data_blocks = 0;     ///< that were written: with data, not only zeros
  std::uint64_t damaged_blocks = 0;  ///< logical blocks that could not be read, zeros in the output
  std::optional<std::string> journal_loss{};  ///< what else is lost, in a sentence
};

struct ExportOptions {
  std::string output;        ///< path of a file or block device, or kStandardOutput
  bool force = false;        ///< overwrite it if it exists
  bool skip_errors = false;  ///< go on where blocks are damaged, with zeros in their place
  Advise advise = no_advice;

  static constexpr std::string_view kStandardOutput = "-";
  [[nodiscard]] bool to_standard_output() const { return output == kStandardOutput; }

  /// Called when nothing keeps the export from its work any more. An error ends it.
  std::function<Result<void>()> begin = [] { return Result<void>(); };
  /// Called for each run that could not be read, if errors are skipped.
  std::function<void(const ContentRun& run)> damaged = [](const ContentRun&) {};
  /// Called now and then with the logical blocks that are done, and what came of them.
  std::function<void(std::uint64_t done, std::uint64_t all, const ExportReport& so_far)> progress =
      [](std::uint64_t, std::uint64_t, const ExportReport&) {};
};

/// Copies everything that is in the volume. After an error there is no new output, or one of which
/// it says that it is not complete. exists, invalid_argument: the output may not be overwritten;
/// corrupt: damaged blocks.
Result<ExportReport> export_volume(VolumeImage& image, const ExportOptions& options);

}  // namespace uvdo
