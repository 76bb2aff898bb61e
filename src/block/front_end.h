// SPDX-License-Identifier: GPL-2.0-or-later
// A way in which clients reach a volume (NBD, later ublk or FUSE), as the server sees it that holds
// any number of them. Each offers a BlockService and takes its requests from a RequestBudget; both
// outlive it, and both are shared with the others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "async/executor.h"
#include "async/task.h"
#include "base/result.h"

namespace uvdo {

/// Where clients find a front end, in the words of its kind ("tcp:[::1]:10809", a device's path).
struct FrontEndAddress {
  std::string name;
  /// Other machines may reach it, and whoever does may use the volume.
  bool is_open_to_strangers = false;
};

/// What a client has asked for and was not refused.
struct ClientRequests {
  std::uint64_t requests = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
};

/// Who uses a front end, and what they have asked for since they came.
struct FrontEndClient {
  std::string origin;  ///< "tcp:10.0.0.3:52114", "process 4711"
  bool is_encrypted = false;
  Duration connected{};  ///< how long
  ClientRequests asked{};
};

/// All of it runs on the volume's thread.
class FrontEnd {
 public:
  FrontEnd() = default;
  FrontEnd(const FrontEnd&) = delete;
  FrontEnd& operator=(const FrontEnd&) = delete;
  /// Nothing of it runs any more: it was never started, or shutdown() has ended.
  virtual ~FrontEnd() = default;

  /// What people call the kind: "NBD".
  [[nodiscard]] virtual std::string_view kind() const = 0;
  /// Where clients find it, from start() on if not before.
  [[nodiscard]] virtual std::vector<FrontEndAddress> addresses() const = 0;
  /// Clients that are connected now.
  [[nodiscard]] virtual std::size_t clients() const = 0;
  /// At most `most` of them, who has been there longest first; none where they are not told apart.
  [[nodiscard]] virtual std::vector<FrontEndClient> list_clients(
      [[maybe_unused]] std::size_t most) const {
    return {};
  }

  /// Begins to let clients in. After an error nothing of it runs.
  virtual Task<Result<void>> start() = 0;
  /// The service has grown: tells clients, where its kind can.
  virtual void size_changed() = 0;
  /// Lets nobody in any more, finishes what is under way and refuses the rest; returns when nothing
  /// of any client is left. May also be called where start() was not.
  virtual Task<void> shutdown() = 0;
  /// Whether clients can be left waiting for a server that follows.
  [[nodiscard]] virtual bool can_leave() const { return false; }
  /// As shutdown(), but leaves them waiting, where can_leave(): what they ask meanwhile is answered
  /// by that server. An error if not all that was answered could be made stable; it has left then
  /// all the same.
  virtual Task<Result<void>> leave() {
    co_await shutdown();
    co_return Result<void>();
  }
};

}  // namespace uvdo
