// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/client_server.h"

#include <cerrno>

#include <sys/socket.h>
#include <unistd.h>

namespace uvdo {
namespace {

/// Without descriptors or memory accepting is tried again after this.
constexpr Duration kShortage = std::chrono::milliseconds(100);

constexpr Duration kLookInterval = std::chrono::seconds(1);
constexpr Duration kNobodyToWatch = std::chrono::hours(1);
constexpr std::size_t kMostRefused = 64;  // beyond the limit, until they are gone

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

ClientServer::ClientServer(UringLoop& loop, Limits limits, Serve serve)
    : loop_(loop),
      limits_(limits),
      serve_(std::move(serve)),
      patience_(loop),
      watch_(loop),
      tasks_(loop) {}

void ClientServer::start(std::vector<ListeningSocket> sockets) {
  for (ListeningSocket& socket : sockets) {
    tasks_.start(accept_clients(socket.fd()));
    sockets_.push_back(std::move(socket));
  }
  // Nobody to watch over where there is no limit of time.
  if (is_watching_ || (limits_.stay == Duration{} && limits_.silence == Duration{})) return;
  is_watching_ = true;
  tasks_.start(watch());
}

Task<void> ClientServer::watch() {
  while (!stopping_) {
    const TimePoint now = loop_.now();
    for (auto& [stream, client] : clients_) {
      if (const std::uint64_t moved = stream->bytes_moved(); moved != client.moved) {
        client.moved = moved;
        client.moved_at = now;
      }
      const bool stays = limits_.stay != Duration{} && now - client.came >= limits_.stay;
      const bool is_silent =
          limits_.silence != Duration{} && now - client.moved_at >= limits_.silence;
      if (stays || is_silent) stream->shut_down();
    }
    co_await watch_.sleep(clients_.empty() ? kNobodyToWatch : kLookInterval);
  }
}

Task<void> ClientServer::accept_clients(int fd) {
  while (!stopping_) {
    auto operation = loop_.perform(
        [fd](io_uring_sqe* sqe) { io_uring_prep_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC); });
    accepting_.push_back(&operation);
    const int client = co_await operation;
    std::erase(accepting_, &operation);
    if (client >= 0) {
      tasks_.start(serve(client));
    } else if (is_shortage(-client)) {
      // The client in the queue gets the descriptor that was lent; serve() takes it back at its
      // end.
      if (limits_.reserve != nullptr && limits_.reserve->lend()) continue;
      Alarm pause(loop_);
      co_await pause.sleep(kShortage);
    } else if (client == -EINVAL || client == -EBADF || client == -ENOTSOCK) {
      break;
    }
  }
}

Task<void> ClientServer::serve(int fd) {
  // Who is told that there is no room takes some, too.
  if (clients_.size() >= limits_.most_clients + kMostRefused) {
    close(fd);
  } else {
    SocketStream stream(loop_, fd);
    const TimePoint now = loop_.now();
    clients_.emplace(&stream, Client{now, 0, now});
    // The watch sleeps for long while nobody is there.
    if (clients_.size() == 1) watch_.ring();
    if (!stopping_) co_await serve_(stream, clients_.size() > limits_.most_clients);
    clients_.erase(&stream);
  }
  if (limits_.reserve != nullptr) limits_.reserve->refill();
  if (stopping_ && clients_.empty()) patience_.ring();
}

Task<void> ClientServer::shutdown() {
  stopping_ = true;
  watch_.ring();
  for (UringLoop::Operation* operation : accepting_) loop_.cancel(*operation);
  // First the input alone: who is being answered gets its answer, who is waited for is let go.
  for (const auto& [stream, client] : clients_) stream->end_input();
  if (!clients_.empty()) co_await patience_.sleep(std::chrono::seconds(1));
  for (const auto& [stream, client] : clients_) stream->shut_down();
  co_await tasks_.wait();
  sockets_.clear();
}

}  // namespace uvdo
