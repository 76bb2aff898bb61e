// SPDX-License-Identifier: GPL-2.0-or-later
// Runs another program and waits for it.
#pragma once

#include <string>
#include <vector>

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

}  // namespace uvdo
