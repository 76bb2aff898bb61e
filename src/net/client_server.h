// SPDX-License-Identifier: GPL-2.0-or-later
// Accepts clients on listening sockets and runs a coroutine for each, up to a limit: what the
// control socket and the metrics have in common.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "net/descriptor_reserve.h"
#include "net/socket_address.h"
#include "net/socket_stream.h"

namespace uvdo {

/// start() once, then shutdown(), which has to end before this is destroyed. Clients are
/// independent of each other. All of it runs on the loop's thread.
class ClientServer {
 public:
  /// Serves one client until it returns, when the connection is closed; `crowded` if more than the
  /// limit are there: such a client is to be told so and let go. receive() and send() end once the
  /// client has stayed or been silent for too long.
  using Serve = std::function<Task<void>(SocketStream& stream, bool crowded)>;

  struct Limits {
    /// Served at a time. Some more are let in only to be told that they are too many; beyond these,
    /// connections are closed without a word.
    std::size_t most_clients;
    /// How long a client may stay; zero: as long as it likes.
    Duration stay{};
    /// How long nothing may come from a client nor go to it; zero: as long as it likes.
    Duration silence{};
    /// What may be used when descriptors have run out; must outlive the server.
    DescriptorReserve* reserve = nullptr;
  };

  ClientServer(UringLoop& loop, Limits limits, Serve serve);
  ClientServer(const ClientServer&) = delete;
  ClientServer& operator=(const ClientServer&) = delete;

  /// Begins to accept on these, which are closed by shutdown().
  void start(std::vector<ListeningSocket> sockets);
  /// Ends all connections, after the replies under way; then nothing of it runs any more. A client
  /// that does not take its reply is given a second.
  Task<void> shutdown();
  /// Connected now, those that are too many included.
  [[nodiscard]] std::size_t clients() const { return clients_.size(); }
  [[nodiscard]] const std::vector<ListeningSocket>& sockets() const { return sockets_; }

 private:
  struct Client {
    TimePoint came;
    std::uint64_t moved = 0;  // bytes, when it was looked at last
    TimePoint moved_at;
  };

  /// Accepts on one socket until the server stops or the socket is of no use any more.
  Task<void> accept_clients(int fd);
  /// One client from its acceptance to its end.
  Task<void> serve(int fd);
  /// Hangs up on clients that stay for too long, or are silent.
  Task<void> watch();

  UringLoop& loop_;
  Limits limits_;
  Serve serve_;
  std::vector<ListeningSocket> sockets_;
  std::vector<UringLoop::Operation*> accepting_;
  std::unordered_map<SocketStream*, Client> clients_;
  Alarm patience_;
  Alarm watch_;
  TaskGroup tasks_;
  bool stopping_ = false;
  bool is_watching_ = false;
};

}  // namespace uvdo
