// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the server of a volume something over its control socket; waits for the answer.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <sys/types.h>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "control/message.h"

namespace uvdo {

/// How long a server may be silent. One that works on a request says so every second.
inline constexpr std::chrono::milliseconds kAnswerPatience{4000};

/// A connection to a server that can be believed: one of root or of a certain user, at a socket
/// that nobody else could have put there.
/// Blocks the calling thread: for commands, never for a server. Requests are asked one at a time.
/// After an error of the connection it is of no more use.
class ControlConnection {
 public:
  /// not_found: nobody serves at `path`. `user`: whose server is meant; none: this user's.
  static Result<ControlConnection> open(const std::string& path,
                                        std::chrono::milliseconds patience = kAnswerPatience,
                                        std::optional<uid_t> user = std::nullopt);
  /// The result of a request, or the server's own error. busy: it was silent for too long.
  Result<Json> ask(ControlRequest request);
  /// The same with the types of a message.
  template <ControlMessage Request>
  Result<typename Request::Answer> ask(const Request& request) {
    auto answer = ask(write_request(request));
    if (!answer) return std::move(answer).error();
    return read_answer<typename Request::Answer>(std::move(*answer));
  }

 private:
  ControlConnection(FileDescriptor fd, std::string path, std::chrono::milliseconds patience)
      : fd_(std::move(fd)), path_(std::move(path)), patience_(patience) {}
  // Each fails with busy after `patience_` without a byte moving.
  Result<void> send_line(const std::string& line);
  Result<std::string> receive_line();

  FileDescriptor fd_;
  std::string path_;
  std::chrono::milliseconds patience_;
  std::string received_;  // behind the lines that have been read
};

/// The result of a request to the server of the volume at `volume`, at `path` if it is not empty,
/// else where such a server listens by default. Refused if the server there has another volume.
/// not_found: the volume is not in use; busy: it is, but its user does not answer there, or not in
/// time; else the server's own error.
Result<Json> ask_volume(const std::string& volume, const ControlRequest& request,
                        const std::string& path = {},
                        std::chrono::milliseconds patience = kAnswerPatience);

/// The same with the types of a message.
template <ControlMessage Request>
Result<typename Request::Answer> ask_volume(const std::string& volume, const Request& request,
                                            const std::string& path = {},
                                            std::chrono::milliseconds patience = kAnswerPatience) {
  auto answer = ask_volume(volume, write_request(request), path, patience);
  if (!answer) return std::move(answer).error();
  return read_answer<typename Request::Answer>(std::move(*answer));
}

/// Whether the server at `path` says that it has another volume than that at `volume`. False where
/// nobody answers, or answers so: who cannot tell takes it for the volume's own.
[[nodiscard]] bool is_of_another_volume(const std::string& path, const std::string& volume);

/// Waits until nobody uses the volume at `volume` any more, for some seconds at most.
void wait_until_free(const std::string& volume);

}  // namespace uvdo
