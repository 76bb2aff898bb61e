// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/nbd_server.h"

#include <algorithm>
#include <cerrno>

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket_stream.h"

namespace uvdo {
namespace {

constexpr Duration kWatchInterval = std::chrono::seconds(1);
constexpr Duration kNothingToWatch = std::chrono::hours(1);
// shutdown() looks so often whether a client has nothing under way any more.
constexpr Duration kDrainInterval = std::chrono::milliseconds(5);
// The buffers of a TLS session: received, being encrypted, being sent.
constexpr std::uint64_t kTlsMemory = std::uint64_t{3} * (std::uint64_t{256} << 10U);
// A client in the handshake has so long before another may take its place.
constexpr Duration kPatience = std::chrono::seconds(2);
// Clients that have lost their place and whose connections are about to end: so many there may be
// beyond the limit, which bounds descriptors and memory.
constexpr std::size_t kMostLeaving = 8;
// Of TCP: silence before the peer is asked whether it is still there, between questions, and how
// many may stay unanswered.
constexpr int kKeepAliveSeconds = 60;
constexpr int kProbeSeconds = 10;
constexpr int kProbes = 3;
constexpr Duration kOutOfDescriptors = std::chrono::milliseconds(200);

// Errors are ignored: a connection works without any of this.
void tune_socket(int fd) {
  int domain = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0) return;
  // A bigger buffer lets a whole batch of replies go out at once; the kernel cuts it to its limit.
  const int buffer = 1 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  if (domain == AF_UNIX) return;
  const int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  // A client whose machine has vanished is noticed after a minute and a half.
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kProbeSeconds, sizeof kProbeSeconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
}

}  // namespace

struct NbdServer::Listener {
  Listener(Executor& executor, ListeningSocket owned) : socket(std::move(owned)), pause(executor) {}
  ListeningSocket socket;
  UringLoop::Operation operation{};
  bool accepting = false;
  Alarm pause;

  // co_await listener.accept(loop): a file descriptor or a negative errno; can be cancelled.
  auto accept(UringLoop& loop) {
    struct Awaiter {
      Listener& listener;
      UringLoop& loop;
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const {
        listener.accepting = true;
        listener.operation.waiter = handle;
        loop.submit(listener.operation, [this](io_uring_sqe* sqe) {
          io_uring_prep_accept(sqe, listener.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC);
        });
      }
      [[nodiscard]] int await_resume() const noexcept {
        listener.accepting = false;
        return listener.operation.result;
      }
    };
    return Awaiter{*this, loop};
  }
};

struct NbdServer::Peer {
  Peer(NbdServer& server, int fd, const ClientOrigin& from)
      : origin(from),
        name(peer_text(fd)),
        stream(server.loop_, fd),
        connection(server.loop_, stream, server.exports_, server.memory_,
                   server.settings_.connection) {}
  ClientOrigin origin;
  std::string name;      // of the peer, in words
  bool has_slot = true;  // false: another client has it already
  SocketStream stream;
  NbdConnection connection;
};

NbdServer::NbdServer(UringLoop& loop, RequestBudget& budget, Settings settings)
    : loop_(loop),
      settings_(std::move(settings)),
      memory_(loop, settings_.read_memory, budget),
      tasks_(loop),
      serving_(loop),
      alarm_(loop) {}

NbdServer::~NbdServer() {
  check(tasks_.running() == 0 && serving_.running() == 0, "the NBD server was shut down");
}

Result<void> NbdServer::listen(const SocketAddress& address, const SocketAccess& access) {
  auto sockets = ListeningSocket::open(address, access);
  if (!sockets) return std::move(sockets).error();
  adopt(std::move(*sockets));
  return {};
}

void NbdServer::adopt(std::vector<ListeningSocket> sockets) {
  for (ListeningSocket& socket : sockets) listeners_.emplace_back(loop_, std::move(socket));
}

std::vector<FrontEndAddress> NbdServer::addresses() const {
  const bool lets_anybody_in = !settings_.connection.tls.required;
  std::vector<FrontEndAddress> addresses;
  for (const Listener& listener : listeners_) {
    addresses.push_back({listener.socket.name(), lets_anybody_in && listener.socket.is_remote()});
  }
  return addresses;
}

std::uint64_t NbdServer::memory_bound(const Settings& settings, std::uint32_t requests,
                                      bool with_tls) {
  const std::uint64_t encrypted = with_tls ? kTlsMemory : std::uint64_t{0};
  return std::max(settings.read_memory, NbdServerMemory::kLeastForReads) +
         requests * (sizeof(NbdRequest) + sizeof(NbdPiece)) +
         (settings.max_connections + kMostLeaving) *
             (settings.connection.receive_buffer + encrypted);
}

Task<Result<void>> NbdServer::start() {
  // Places are kept for unix sockets only where there are any.
  const bool has_unix = std::ranges::any_of(
      listeners_, [](const Listener& listener) { return listener.socket.is_unix(); });
  slots_ = std::make_unique<ClientSlots>(settings_.max_connections, has_unix);
  tasks_.start(watch());
  for (Listener& listener : listeners_) tasks_.start(accept_clients(listener));
  co_return Result<void>();
}

Task<void> NbdServer::accept_clients(Listener& listener) {
  while (!stopping_) {
    const int fd = co_await next_client(listener);
    if (fd >= 0) {
      receive(fd);
      continue;
    }
    if (stopping_) break;
    switch (-fd) {
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        tell_shortage(listener, -fd);
        co_await listener.pause.sleep(kOutOfDescriptors);
        break;
      case EINVAL:
      case EBADF:
      case ENOTSOCK:
        log(fmt::format("no longer listening on {}: {}", listener.socket.name(),
                        errno_error(-fd, "accept").message()));
        co_return;
      default: break;  // the client has left again
    }
  }
}

Task<int> NbdServer::next_client(Listener& listener) {
  // What is kept back is not for clients: neither before somebody comes nor after.
  DescriptorReserve* const reserve = settings_.reserve;
  if (reserve != nullptr && !reserve->refill()) co_return -EMFILE;
  const int fd = co_await listener.accept(loop_);
  // The client got what somebody who has to get in may need (the control socket): it is let go.
  if (fd < 0 || reserve == nullptr || reserve->refill()) co_return fd;
  close(fd);
  reserve->refill();
  co_return -EMFILE;
}

void NbdServer::tell_shortage(const Listener& listener, int error) {
  if (is_short_) return;
  is_short_ = true;
  log(fmt::format("cannot accept a client on {}: {}; trying again until it can",
                  listener.socket.name(), errno_error(error, "accept").message()));
}

void NbdServer::receive(int fd) {
  is_short_ = false;
  if (stopping_) {
    close(fd);
    return;
  }
  const ClientOrigin origin = ClientOrigin::of_peer(fd);
  const ClientSlots::Answer answer = slots_->ask(origin);
  if (answer != ClientSlots::Answer::free && !make_room(origin)) {
    turn_away(fd, answer);
    return;
  }
  tune_socket(fd);
  serving_.start(serve(fd, origin));
}

bool NbdServer::make_room(const ClientOrigin& origin) {
  if (leaving_ == kMostLeaving) return false;
  Peer* silent = nullptr;
  for (Peer* peer : peers_) {
    if (!peer->has_slot || !peer->connection.is_in_handshake()) continue;
    if (loop_.now() - peer->connection.started() < kPatience) continue;
    if (silent != nullptr && silent->connection.started() <= peer->connection.started()) continue;
    if (slots_->would_help(peer->origin, origin)) silent = peer;
  }
  if (silent == nullptr) return false;
  // Its place is free at once, although its connection needs a while to end.
  silent->has_slot = false;
  slots_->leave(silent->origin);
  ++leaving_;
  silent->connection.make_room();
  return true;
}

void NbdServer::turn_away(int fd, ClientSlots::Answer answer) {
  close(fd);
  std::string limit = fmt::format("{} are connected, which is the limit", slots_->most());
  if (answer == ClientSlots::Answer::network_full) {
    limit = fmt::format("{} are connected over the network; the rest of {} is for unix sockets",
                        slots_->most_of_network(), slots_->most());
  } else if (answer == ClientSlots::Answer::machine_full) {
    limit = fmt::format("{} of its machine are connected; the rest of {} is for others",
                        slots_->most_of_machine(), slots_->most());
  }
  log_now_and_then(fmt::format("turned a client away: {} (--max-clients)", limit));
}

Task<void> NbdServer::serve(int fd, ClientOrigin origin) {
  {
    // In a block of its own: the peer and its socket are gone before shutdown() is told.
    const auto peer = std::make_unique<Peer>(*this, fd, origin);
    slots_->enter(origin);
    peers_.insert(peer.get());
    // The watch sleeps for long while nobody is there.
    if (peers_.size() == 1) alarm_.ring();
    co_await peer->connection.run();
    if (!peer->connection.reason().empty()) {
      log_now_and_then(fmt::format("hung up on a client: {}", peer->connection.reason()));
    }
    peers_.erase(peer.get());
    if (peer->has_slot) {
      slots_->leave(origin);
    } else {
      --leaving_;
    }
  }
  if (stopping_) alarm_.ring();
}

std::vector<FrontEndClient> NbdServer::list_clients(std::size_t most) const {
  std::vector<const Peer*> oldest(peers_.begin(), peers_.end());
  const auto end = oldest.begin() + static_cast<std::ptrdiff_t>(std::min(most, oldest.size()));
  std::partial_sort(oldest.begin(), end, oldest.end(), [](const Peer* a, const Peer* b) {
    return std::pair(a->connection.started(), a) < std::pair(b->connection.started(), b);
  });
  std::vector<FrontEndClient> listed;
  for (auto peer = oldest.begin(); peer != end; ++peer) {
    const NbdConnection& connection = (*peer)->connection;
    listed.push_back({(*peer)->name, connection.is_encrypted(), loop_.now() - connection.started(),
                      connection.asked()});
  }
  return listed;
}

Task<void> NbdServer::watch() {
  while (!stopping_) {
    const TimePoint now = loop_.now();
    for (Peer* peer : peers_) peer->connection.check_progress(now);
    const Duration interval = peers_.empty() ? kNothingToWatch : kWatchInterval;
    co_await alarm_.sleep(interval);
  }
}

Task<void> NbdServer::shutdown() {
  stopping_ = true;
  alarm_.ring();
  for (Listener& listener : listeners_) {
    if (listener.accepting) loop_.cancel(listener.operation);
    listener.pause.ring();
  }
  // Behind this nobody is accepted any more, and the alarm is shutdown()'s own.
  co_await tasks_.wait();
  listeners_.clear();
  for (Peer* peer : peers_) {
    if (settings_.goodbye == Settings::Goodbye::hang_up) {
      peer->connection.close();
    } else {
      peer->connection.begin_shutdown();
    }
  }
  // Who has nothing under way is hung up on; the others have until the deadline, and then as long
  // as the volume takes for what it has begun.
  const TimePoint deadline = loop_.now() + settings_.drain_limit;
  while (!peers_.empty()) {
    const TimePoint now = loop_.now();
    for (Peer* peer : peers_) {
      if (now >= deadline || peer->connection.is_idle()) peer->connection.close();
    }
    co_await alarm_.sleep(kDrainInterval);
  }
  co_await serving_.wait();
}

}  // namespace uvdo
