// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_looker.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>

#include "base/detached_thread.h"
#include "base/file_descriptor.h"

namespace uvdo {
namespace {

/// Another descriptor of the same file, without its locks, to look at it.
FileDescriptor same_file(int fd) {
  FileDescriptor same(open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_PATH | O_CLOEXEC));
  if (!same) same = FileDescriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return same;
}

}  // namespace

/// What the thread and its user share. The thread owns it too: it may outlive the BackingLooker.
struct BackingLooker::State {
  State(std::string name, Look function) : path(std::move(name)), look(std::move(function)) {}

  void run();

  const std::string path;
  const Look look;
  std::mutex mutex;  // protects what follows
  std::condition_variable changed;
  bool is_ending = false;
  bool is_busy = false;    ///< from begin() until the file has been let go of
  bool is_wanted = false;  ///< what is under way
  FileDescriptor next;     ///< what to look at
  std::optional<Result<BackingState>> found;
};

void BackingLooker::State::run() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return is_ending || next; });
    if (is_ending) return;
    {
      // Closed, under the lock, before it is said that the file was let go of.
      const FileDescriptor fd = std::move(next);
      lock.unlock();
      auto result = look(fd.get(), path);
      lock.lock();
      if (is_wanted) found = std::move(result);
    }
    is_busy = false;
    changed.notify_all();
  }
}

BackingLooker::BackingLooker(std::string path, Look look)
    : state_(std::make_shared<State>(std::move(path), std::move(look))) {
  auto started = start_detached_thread("uvdo-look", [state = state_] { state->run(); });
  // Without a thread for ever: then nothing begins.
  state_->is_busy = !started;
}

BackingLooker::~BackingLooker() {
  const std::lock_guard lock(state_->mutex);
  // The thread may be stuck in its file system: it ends later, and frees what they share.
  state_->is_ending = true;
  state_->changed.notify_all();
}

void BackingLooker::begin(int fd) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  // A look that is stuck is not followed by others.
  if (s.is_busy) return;
  s.next = same_file(fd);
  s.is_busy = s.is_wanted = static_cast<bool>(s.next);
  s.changed.notify_all();
}

std::optional<Result<BackingState>> BackingLooker::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->found, std::nullopt);
}

void BackingLooker::forget(std::chrono::milliseconds most) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  s.found.reset();
  s.is_wanted = false;
  s.changed.wait_for(lock, most, [&] { return !s.is_busy; });
}

}  // namespace uvdo
