// SPDX-License-Identifier: GPL-2.0-or-later
// A list of damaged logical blocks, for --list-damaged: a line "FIRST COUNT REASON" for each run.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "inspect/content_reader.h"

namespace uvdo {

/// open() before the work, begin() when it is sure to be done, add() and remark(), finish(). What a
/// file held before is kept until begin(), so that a command that refuses its arguments has
/// destroyed nothing.
class DamageFile {
 public:
  /// Adds the option to a command.
  static void add_to(Arguments& app, std::string& path);

  /// Opens or makes the file; "-" is standard output, and with an empty path nothing is written.
  /// invalid_argument: it is no regular file, or it is one of `others`, which the command uses
  /// besides (the volume, what is written to), or lies beneath one of them.
  static Result<DamageFile> open(const std::string& path, const std::vector<std::string>& others);
  /// Empties the file, once nothing keeps the command from its work any more.
  Result<void> begin();
  [[nodiscard]] explicit operator bool() const { return file_ != nullptr; }
  /// A line for a run of damaged blocks, in the order of logical blocks.
  void add(const ContentRun& run);
  /// Adds a sentence about blocks whose numbers nobody knows.
  void remark(const std::string& text);
  /// After the last line. io, no_space: not all of it could be written.
  Result<void> finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const;
  };
  void put(const std::string& line);
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace uvdo
