// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/client_server.h"

#include <cerrno>

#include <sys/socket.h>

namespace uvdo {
namespace {

/// Without descriptors or memory accepting is tried again after this.
constexpr Duration kShortage = std::chrono::milliseconds(100);

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

ClientServer::ClientServer(UringLoop& loop, std::size_t most_clients, Serve serve)
    : loop_(loop),
      most_clients_(most_clients),
      serve_(std::move(serve)),
      patience_(loop),
      tasks_(loop) {}

void ClientServer::start(std::vector<ListeningSocket> sockets) {
  for (ListeningSocket& socket : sockets) sockets_.push_back(std::move(socket));
  for (const ListeningSocket& socket : sockets_) tasks_.start(accept_clients(socket.fd()));
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
      Alarm pause(loop_);
      co_await pause.sleep(kShortage);
    } else if (client == -EINVAL || client == -EBADF || client == -ENOTSOCK) {
      break;
    }
  }
}

Task<void> ClientServer::serve(int fd) {
  SocketStream stream(loop_, fd);
  clients_.insert(&stream);
  if (!stopping_) co_await serve_(stream, clients_.size() > most_clients_);
  clients_.erase(&stream);
  if (stopping_ && clients_.empty()) patience_.ring();
}

Task<void> ClientServer::shutdown() {
  stopping_ = true;
  for (UringLoop::Operation* operation : accepting_) loop_.cancel(*operation);
  for (SocketStream* client : clients_) client->end_input();
  if (!clients_.empty()) co_await patience_.sleep(std::chrono::seconds(1));
  for (SocketStream* client : clients_) client->shut_down();
  co_await tasks_.wait();
  sockets_.clear();
}

}  // namespace uvdo
