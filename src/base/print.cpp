// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/print.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace uvdo {
namespace {

/// As long as nobody takes what is written to standard error, it is tried so long.
constexpr int kErrorPatienceMs = 2000;
/// A pipe that is ready takes so much at once (PIPE_BUF): a write of more would wait for its
/// reader.
constexpr std::size_t kErrorPiece = 4096;

/// As long as it lives, this thread gets no SIGPIPE; one that came meanwhile is forgotten.
class BrokenPipesIgnored {
 public:
  BrokenPipesIgnored() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    was_pending_ = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  BrokenPipesIgnored(const BrokenPipesIgnored&) = delete;
  BrokenPipesIgnored& operator=(const BrokenPipesIgnored&) = delete;
  ~BrokenPipesIgnored() {
    const timespec at_once{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

}  // namespace

void reserve_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest number that is free is this one. Opened the wrong way round, so that reading and
    // writing fail as they would without it.
    const int way = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (open("/dev/null", way) < 0) return;  // NOLINT: it stays open
  }
}

void print_text(std::string_view text) {
  // A failure is remembered by the stream.
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void print_error_text(std::string_view text) {
  std::fflush(stdout);
  const BrokenPipesIgnored ignored;
  while (!text.empty()) {
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (poll(&ready, 1, kErrorPatienceMs) == 0) return;
    const ssize_t written = write(STDERR_FILENO, text.data(), std::min(text.size(), kErrorPiece));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

Result<void> finish_output() {
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return {};
  constexpr std::string_view kWords = "standard output cannot be written";
  if (flushed) return Error(Errc::io, std::string(kWords));
  return errno_error(errno, kWords);
}

}  // namespace uvdo
