// SPDX-License-Identifier: GPL-2.0-or-later
// A server that goes on in the background: the command that starts it returns when it is ready, or
// with its error.
#pragma once

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

class Background {
 public:
  /// A process that stays where it is.
  Background() = default;
  Background(Background&&) noexcept = default;
  Background& operator=(Background&&) noexcept = default;
  ~Background() = default;

  /// Goes on in a process and session of its own; the one that was there waits and ends with exit
  /// status 0 at ready(), or as the new one does before. To be called before there are threads.
  /// Errors: no process can be had.
  static Result<Background> begin();
  /// The server works: its starter is let go, and what was its terminal is let alone from now on.
  void ready();

 private:
  explicit Background(FileDescriptor starter) : starter_(std::move(starter)) {}
  FileDescriptor starter_;
};

/// Marks this process as one that the root file system stands on: its name in /proc/PID/cmdline
/// begins with "@" from now on, and systemd lets it live when the machine leaves its initramfs and
/// when it shuts down. Processes that this one forks have the mark too.
void mark_as_storage_daemon();

/// A file with this process's number, for as long as this lives.
class PidFile {
 public:
  PidFile() = default;
  PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PidFile& operator=(PidFile&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~PidFile();
  static Result<PidFile> write(const std::string& path);

 private:
  explicit PidFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace uvdo
