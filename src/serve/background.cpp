// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/background.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

namespace uvdo {
namespace {

constexpr char kReady = 'R';

/// Ends this process when the server is ready, or as the server has ended.
[[noreturn]] void wait_for(pid_t server, int fd) {
  char word = 0;
  ssize_t got = 0;
  do {
    got = read(fd, &word, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1 && word == kReady) _exit(0);
  int status = 0;
  while (waitpid(server, &status, 0) < 0 && errno == EINTR) {
  }
  // One that ended well without being ready was told to stop.
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

}  // namespace

Result<Background> Background::begin() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "making a pipe");
  FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  const pid_t server = fork();
  if (server < 0) return errno_error(errno, "making a process for the background");
  if (server > 0) {
    writing = FileDescriptor();
    wait_for(server, reading.get());
  }
  setsid();
  return Background(std::move(writing));
}

void Background::ready() {
  if (!starter_) return;
  const FileDescriptor nowhere(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (nowhere) dup2(nowhere.get(), fd);
  }
  // A starter that has been killed meanwhile is told nothing.
  if (write(starter_.get(), &kReady, 1) < 0) {
  }
  starter_ = FileDescriptor();
}

void mark_as_storage_daemon() { *program_invocation_name = '@'; }

Result<PidFile> PidFile::write(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return errno_error(errno, fmt::format("making {}", path));
  const std::string text = fmt::format("{}\n", getpid());
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return PidFile(path);
  return errno_error(written < 0 ? errno : ENOSPC, fmt::format("writing {}", path));
}

PidFile::~PidFile() {
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace uvdo
