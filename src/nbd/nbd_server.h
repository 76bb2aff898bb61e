// SPDX-License-Identifier: GPL-2.0-or-later
// The NBD server, a front end of volumes: listening sockets, the connections made through them, and
// an orderly end.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "async/uring_loop.h"
#include "block/front_end.h"
#include "nbd/nbd_connection.h"
#include "net/client_slots.h"
#include "net/descriptor_reserve.h"
#include "net/log_throttle.h"
#include "net/socket_address.h"

namespace uvdo {

/// Made, listen() or adopt(), start(), then shutdown(), which has to end before it is destroyed.
/// All of it runs on the loop's thread. Clients are served independently of each other but for the
/// memory (NbdServerMemory) and the places (ClientSlots), which they share; who gets one of these
/// at others' cost is hung up on by check_progress() or make_room().
class NbdServer final : public FrontEnd {
 public:
  struct Settings {
    NbdConnectionSettings connection{};
    std::size_t max_connections = 256;  ///< more are turned away
    /// Not to be touched by clients; must outlive the server. None: nothing is kept back.
    DescriptorReserve* reserve = nullptr;
    std::uint64_t read_memory = NbdServerMemory::kLeastForReads;  ///< bytes for the data of reads
    /// How long shutdown() waits for requests under way and for clients to take their replies.
    Duration drain_limit = std::chrono::seconds(5);
    /// What clients are told by shutdown(): that the server stops, or nothing, as by one that dies.
    /// Clients that connect again send what was not answered to the next server then, where an
    /// answer would be the end of it.
    enum class Goodbye : std::uint8_t { answer, hang_up } goodbye = Goodbye::answer;
    /// Told what people may want to know, a sentence each.
    std::function<void(const std::string&)> log{};
  };

  /// `budget` must outlive the server.
  NbdServer(UringLoop& loop, RequestBudget& budget, Settings settings);
  ~NbdServer() override;

  /// Offers a volume, which must outlive the server. Before start().
  void add_export(NbdExport entry) { exports_.add(std::move(entry)); }
  /// Opens the sockets of an address; an error is ListeningSocket::open()'s. Before start().
  Result<void> listen(const SocketAddress& address, const SocketAccess& access = {});
  /// Takes over sockets of the service manager. Before start().
  void adopt(std::vector<ListeningSocket> sockets);

  [[nodiscard]] std::string_view kind() const override { return "NBD"; }
  /// What is listened on, with the ports really taken.
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override;
  [[nodiscard]] std::size_t clients() const override { return peers_.size(); }
  [[nodiscard]] std::vector<FrontEndClient> list_clients(std::size_t most) const override;

  /// Begins to accept clients; never an error.
  Task<Result<void>> start() override;
  /// NBD has no message for that: each request is held against the size of the moment, and who
  /// connects anew is told it.
  void size_changed() override {}
  /// Accepts no more, finishes what is under way, but of long requests only the piece that has
  /// begun; answers the others and new ones with ESHUTDOWN (but for Goodbye) and hangs up; returns
  /// when nothing of any client is left. Clients are cut off after the drain limit; a piece that
  /// the volume does not finish is waited for.
  Task<void> shutdown() override;

  /// Bytes of memory that a server takes at most, for `requests` in flight: read data, requests and
  /// receive buffers.
  [[nodiscard]] static std::uint64_t memory_bound(const Settings& settings, std::uint32_t requests,
                                                  bool with_tls);

 private:
  /// A listening socket and the accept under way on it; a client with all that it has.
  struct Listener;
  struct Peer;

  /// Accepts on one socket until the server stops or the socket is of no use any more.
  Task<void> accept_clients(Listener& listener);
  /// The next client, or a negative errno; without descriptors it waits for some.
  Task<int> next_client(Listener& listener);
  /// Serves the client, or turns it away.
  void receive(int fd);
  /// Hangs up on who has been in the handshake for longest, if that helps; whether it did.
  bool make_room(const ClientOrigin& origin);
  /// Closes the connection without a word, as NBD's greeting has no place for a reason, and logs
  /// why.
  void turn_away(int fd, ClientSlots::Answer answer);
  /// Logs a shortage once, until a client has got in again.
  void tell_shortage(const Listener& listener, int error);
  /// A client's life from its place to the end of its connection.
  Task<void> serve(int fd, ClientOrigin origin);
  /// Looks after all clients once a second, while there are some.
  Task<void> watch();
  void log(const std::string& message) const {
    if (settings_.log) settings_.log(message);
  }
  /// The same for what any stranger can cause at any time.
  void log_now_and_then(const std::string& message) {
    const std::string line = throttle_.pass(message, loop_.now());
    if (!line.empty()) log(line);
  }

  UringLoop& loop_;
  Settings settings_;
  NbdExports exports_;
  NbdServerMemory memory_;
  std::list<Listener> listeners_;
  std::unordered_set<Peer*> peers_;
  std::unique_ptr<ClientSlots> slots_;  // from start() on
  std::size_t leaving_ = 0;             // peers that were hung up on and still have to end
  LogThrottle throttle_;
  bool is_short_ = false;  // of descriptors or memory, and that was said
  TaskGroup tasks_;        // acceptors and the watch
  TaskGroup serving_;      // the peers
  Alarm alarm_;            // of the watch, then of shutdown()
  bool stopping_ = false;
};

}  // namespace uvdo
