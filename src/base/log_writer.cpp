// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include <poll.h>
#include <unistd.h>

#include "base/detached_thread.h"

namespace uvdo {
namespace {

using Clock = std::chrono::steady_clock;

/// A pipe that is ready takes so much at once (PIPE_BUF).
constexpr std::size_t kPiece = 4096;
constexpr int kLookAgainMs = 50;
/// How long the lines that wait at the end may take.
constexpr std::chrono::milliseconds kLastPatience{1000};
/// A thread that is stuck in a write after that is left behind.
constexpr std::chrono::milliseconds kStuck{1500};

}  // namespace

/// What the thread and its users share. The thread owns it too: it may outlive the LogWriter.
struct LogWriter::State {
  State(int out, LostLines tell, std::size_t room)
      : fd(out), lost_lines(std::move(tell)), ring(room) {}

  const int fd;
  const LostLines lost_lines;
  std::mutex mutex;  // protects what follows, but for what only the thread has
  std::condition_variable changed;
  std::condition_variable has_ended;
  std::vector<char> ring;
  std::size_t head = 0;       // of the oldest byte in the ring
  std::size_t size = 0;       // bytes in the ring
  std::uint64_t refused = 0;  ///< lines lost behind those in the ring
  std::uint64_t failed = 0;   ///< lines that were taken from the ring and could not be written
  bool ending = false;
  Clock::time_point give_up_at = Clock::time_point::max();  // when a reader is waited for no longer
  bool ended = false;

  bool is_torn = false;  // the thread's: the last line that was written lacks its end

  enum class Written { yes, no, gave_up };

  void run();
  Written write_piece(std::string_view piece);
  Written tell_lost(std::unique_lock<std::mutex>& lock);
  Written write_line(std::unique_lock<std::mutex>& lock);
  std::size_t take_piece(std::array<char, kPiece>& piece);
  void drop_line();
  [[nodiscard]] bool is_over();
};

Result<std::unique_ptr<LogWriter>> LogWriter::start(int fd, LostLines lost_lines,
                                                    std::size_t room) {
  auto state = std::make_shared<State>(fd, std::move(lost_lines), room);
  auto started = start_detached_thread("uvdo-log", [state] { state->run(); });
  if (!started) return std::move(started).error();
  return std::unique_ptr<LogWriter>(new LogWriter(std::move(state)));
}

/// Waits for the lines that are there, but not for a reader that takes none: the thread, and what
/// it shares with this, is left behind then.
LogWriter::~LogWriter() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->give_up_at = Clock::now() + kLastPatience;
  state_->changed.notify_one();
  state_->has_ended.wait_for(lock, kStuck, [&] { return state_->ended; });
}

void LogWriter::put(std::string_view line) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  // Once one is lost all are, until the line that says so is in its place.
  if (s.refused > 0 || line.size() > s.ring.size() - s.size) {
    ++s.refused;
  } else {
    const std::size_t tail = (s.head + s.size) % s.ring.size();
    const std::size_t first = std::min(line.size(), s.ring.size() - tail);
    std::copy_n(line.begin(), first, s.ring.begin() + static_cast<std::ptrdiff_t>(tail));
    std::copy(line.begin() + static_cast<std::ptrdiff_t>(first), line.end(), s.ring.begin());
    s.size += line.size();
  }
  s.changed.notify_one();
}

/// Lines keep their order, and the line that tells of lost ones stands where they are missing.
/// `lock` is held but for the writing itself, so that put() never waits for a reader of the log.
void LogWriter::State::run() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return size > 0 || refused > 0 || ending; });
    if (size == 0 && refused == 0) break;
    // After a failure one write is tried for each line that comes.
    const bool is_gap = (size == 0 && refused > 0) || failed > 0;
    if ((is_gap ? tell_lost(lock) : write_line(lock)) == Written::gave_up) break;
  }
  ended = true;
  has_ended.notify_all();
}

/// Lines that failed are missing here; those refused only behind all that the ring has, so when it
/// is empty.
LogWriter::State::Written LogWriter::State::tell_lost(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t gap = size == 0 ? refused : 0;
  const std::uint64_t count = failed + gap;
  refused -= gap;  // lines that come from now on stand behind the one that tells of these
  lock.unlock();
  const std::string words = lost_lines(count);
  Written written = Written::yes;
  for (std::size_t at = 0; at < words.size() && written == Written::yes; at += kPiece) {
    written = write_piece(std::string_view(words).substr(at, kPiece));
  }
  lock.lock();
  failed = written == Written::yes ? 0 : count;
  if (written == Written::no && size > 0) {
    drop_line();
    ++failed;
  }
  return written;
}

/// The line at the head of the ring, in pieces: each leaves the ring before it is written, and
/// makes room.
LogWriter::State::Written LogWriter::State::write_line(std::unique_lock<std::mutex>& lock) {
  std::array<char, kPiece> piece;  // NOLINT: filled by take_piece()
  for (bool has_begun = false;; has_begun = true) {
    const std::size_t length = take_piece(piece);
    const bool is_last = piece[length - 1] == '\n';
    lock.unlock();
    const Written written = write_piece({piece.data(), length});
    lock.lock();
    if (written == Written::no) {
      if (!is_last) drop_line();
      is_torn = is_torn || has_begun;
      ++failed;
    }
    if (written != Written::yes || is_last) return written;
  }
}

/// Takes the next bytes of the ring, up to the end of a line at most.
std::size_t LogWriter::State::take_piece(std::array<char, kPiece>& piece) {
  std::size_t length = 0;
  while (length < std::min(size, kPiece)) {
    const char c = ring[(head + length) % ring.size()];
    piece[length++] = c;
    if (c == '\n') break;
  }
  head = (head + length) % ring.size();
  size -= length;
  return length;
}

/// Takes the rest of the line at the head off the ring, unwritten.
void LogWriter::State::drop_line() {
  bool is_last = false;
  while (size > 0 && !is_last) {
    is_last = ring[head] == '\n';
    head = (head + 1) % ring.size();
    --size;
  }
}

bool LogWriter::State::is_over() {
  const std::lock_guard lock(mutex);
  return Clock::now() >= give_up_at;
}

/// Without the mutex.
LogWriter::State::Written LogWriter::State::write_piece(std::string_view piece) {
  std::string_view rest = is_torn ? std::string_view("\n") : piece;
  while (!rest.empty()) {
    pollfd ready{fd, POLLOUT, 0};
    const int found = poll(&ready, 1, kLookAgainMs);
    if (found == 0 || (found < 0 && errno == EINTR)) {
      if (is_over()) return Written::gave_up;
      continue;
    }
    const ssize_t written = write(fd, rest.data(), rest.size());
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) {
      if (is_over()) return Written::gave_up;
      if (errno == EAGAIN) poll(nullptr, 0, kLookAgainMs);
      continue;
    }
    if (written <= 0) {
      is_torn = is_torn || rest.size() < piece.size();
      return Written::no;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
    if (rest.empty() && is_torn) {
      is_torn = false;
      rest = piece;
    }
  }
  is_torn = false;
  return Written::yes;
}

}  // namespace uvdo
