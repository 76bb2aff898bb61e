// SPDX-License-Identifier: GPL-2.0-or-later
// Runs another program and waits for it.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "base/bytes.h"
#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

struct EndedProgram {
  int status = 0;          ///< its exit status; 128 and the signal that ended it
  std::string error_text;  ///< what it wrote to standard error, 64 KiB at most, without the name of
                           ///< this program before it and the line's end
};

/// The path of this program: what is started by it has its name.
[[nodiscard]] std::string this_program();

/// Runs words[0], looked for in PATH if it has no slash, in the folder `folder` and with no input
/// or output but that. An error if it cannot be run at all. What it leaves running in the
/// background must have closed its standard error.
Result<EndedProgram> run_program(const std::vector<std::string>& words,
                                 const std::string& folder = "/");

/// The same, with what it wrote to standard output.
struct ProgramOutput {
  EndedProgram ended;
  std::string text;
};
Result<ProgramOutput> run_program_for_output(const std::vector<std::string>& words);

/// A program whose standard output is read while it runs.
class PipedProgram {
 public:
  /// Starts words[0], looked for in PATH. An error if it cannot be run.
  static Result<PipedProgram> start(const std::vector<std::string>& words);
  PipedProgram(PipedProgram&& other) noexcept;
  PipedProgram& operator=(PipedProgram&&) = delete;
  /// Ends it if it still runs.
  ~PipedProgram();

  /// Waits for what it writes and fills `out`. Returns fewer bytes at the end of its output only.
  Result<std::size_t> read(MutableBytes out);
  /// Waits for its end, to be called once, behind the end of its output.
  Result<EndedProgram> finish();

 private:
  PipedProgram(pid_t pid, FileDescriptor output, FileDescriptor errors, std::string name)
      : pid_(pid), output_(std::move(output)), errors_(std::move(errors)), name_(std::move(name)) {}

  pid_t pid_;  // 0: it has ended
  FileDescriptor output_;
  FileDescriptor errors_;
  std::string name_;
};

}  // namespace uvdo
