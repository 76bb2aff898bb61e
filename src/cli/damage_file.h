// SPDX-License-Identifier: GPL-2.0-or-later
// A list of damaged logical blocks, for --list-damaged: a line "FIRST COUNT REASON" for each run.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "inspect/content_reader.h"

namespace uvdo {

class DamageFile {
 public:
  /// Adds the option to a command.
  static void add_to(Arguments& app, std::string& path);

  /// Makes the file, or writes to standard output if `path` is "-"; with an empty path nothing is
  /// written.
  static Result<DamageFile> open(const std::string& path);
  [[nodiscard]] explicit operator bool() const { return file_ != nullptr; }
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
