// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/log_file.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/journal_stream.h"

namespace uvdo {
namespace {

Result<FileDescriptor> open_to_append(const std::string& path) {
  if (path == kJournal) return open_journal_stream("uvdo");
  constexpr mode_t kMode = 0640;
  return open_checked(path, O_WRONLY | O_CREAT | O_APPEND, FileKind::regular, kMode);
}

}  // namespace

Result<LogFile> LogFile::open(const std::string& path) {
  auto fd = open_to_append(path);
  if (!fd) return std::move(fd).error();
  return LogFile(path, std::move(*fd));
}

Result<void> LogFile::reopen() {
  auto fd = open_to_append(path_);
  if (!fd) return std::move(fd).error();
  // In one step: there is no moment at which the number is nobody's, or somebody else's.
  if (dup3(fd->get(), fd_.get(), O_CLOEXEC) < 0) {
    return errno_error(errno, fmt::format("opening {} anew", path_));
  }
  return {};
}

}  // namespace uvdo
