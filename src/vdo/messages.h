// SPDX-License-Identifier: GPL-2.0-or-later
// What `vdo` says, and where: progress on standard output; warnings and errors on standard error,
// as "vdo: ERROR - text", and in the system's log; everything in the log file, if there is one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "vdo/exit_status.h"

namespace uvdo {

class Messages {
 public:
  struct Settings {
    std::string log_file{};   ///< empty: what goes on is told to the system's log
    bool is_verbose = false;  ///< the commands that stand for what is done are printed
  };

  /// An error if the log file cannot be opened.
  static Result<Messages> open(const Settings& settings);

  /// A plain line on standard output, such as "Starting VDO archive".
  void progress(std::string_view text) const;
  /// What only the log is told.
  void info(std::string_view text) const;
  void warn(std::string_view text) const;
  void error(std::string_view text) const;
  /// Both lines of a failure.
  void error(const Failure& failure) const;
  /// With --verbose: the command of uvdo that does the same, behind four spaces.
  void command(const std::vector<std::string>& words) const;

 private:
  explicit Messages(bool is_verbose) : is_verbose_(is_verbose) {}
  void tell(int priority, std::string_view text) const;

  FileDescriptor log_file_;
  bool is_verbose_;
};

}  // namespace uvdo
