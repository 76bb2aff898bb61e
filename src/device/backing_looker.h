// SPDX-License-Identifier: GPL-2.0-or-later
// Looks at a backing store in a thread of its own, so that a file system that does not answer keeps
// nobody else waiting.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "device/backing_state.h"

namespace uvdo {

class BackingLooker {
 public:
  using Look = std::function<Result<BackingState>(int fd, const std::string& path)>;

  /// Of the file at `path`; `look` is how it is done, other than by look_at_backing_store() in
  /// tests. Without a thread nothing is ever found out.
  explicit BackingLooker(std::string path, Look look = look_at_backing_store);
  BackingLooker(const BackingLooker&) = delete;
  BackingLooker& operator=(const BackingLooker&) = delete;
  /// Does not wait for a look that is stuck.
  ~BackingLooker();

  /// Has what `fd` has open, which stays the caller's, looked at; not before the last look has
  /// ended. It keeps no lock of the file's.
  void begin(int fd);
  /// What has been found since the last call.
  [[nodiscard]] std::optional<Result<BackingState>> take();
  /// What is under way is not wanted any more: waits until it has let go of the file, but no longer
  /// than `most`.
  void forget(std::chrono::milliseconds most);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace uvdo
