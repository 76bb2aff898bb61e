// SPDX-License-Identifier: GPL-2.0-or-later
// What --log-file names: a file, appended to, and opened anew when it has been moved away; or
// systemd's journal.
#pragma once

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

/// Not locked and never rotated here: that is for logrotate, which moves it away and sends SIGHUP.
class LogFile {
 public:
  /// Opens `path`, or makes it with mode 0640; kJournal is the journal. invalid_argument: it is no
  /// regular file; not_found: there is no journal.
  static Result<LogFile> open(const std::string& path);
  /// Opens what is at the path now. The descriptor keeps its number, so that a thread that writes
  /// to it meanwhile writes to the one file or the other. After an error all is as it was.
  Result<void> reopen();
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  LogFile(std::string path, FileDescriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  FileDescriptor fd_;
};

}  // namespace uvdo
