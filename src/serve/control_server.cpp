// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/control_server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace uvdo {

ControlServer::ControlServer(UringLoop& loop, Handler handler)
    : loop_(loop), handler_(std::move(handler)), patience_(loop), tasks_(loop) {}

Result<void> ControlServer::start(const std::string& path) {
  SocketAddress address;
  address.path = path;
  auto sockets = ListeningSocket::open(address);
  if (!sockets) return std::move(sockets).error().within("control socket");
  sockets_ = std::move(*sockets);
  for (const ListeningSocket& socket : sockets_) tasks_.start(accept_clients(socket.fd()));
  return {};
}

Task<void> ControlServer::accept_clients(int fd) {
  while (!stopping_) {
    auto operation = loop_.perform(
        [fd](io_uring_sqe* sqe) { io_uring_prep_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC); });
    accepting_.push_back(&operation);
    const int client = co_await operation;
    std::erase(accepting_, &operation);
    if (client >= 0) tasks_.start(serve(client));
    if (client < 0 && client != -EINTR && client != -ECONNABORTED) break;
  }
}

Task<void> ControlServer::serve(int fd) {
  SocketStream stream(loop_, fd);
  clients_.insert(&stream);
  std::string pending;
  std::vector<char> buffer(16384);
  bool open = !stopping_;
  while (open) {
    const iovec slice{buffer.data(), buffer.size()};
    const std::ptrdiff_t got = co_await stream.receive({&slice, 1});
    if (got <= 0) break;
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t end = 0;
    while (open && (end = pending.find('\n')) != std::string::npos) {
      std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      std::string reply;
      if (clients_.size() > kMaxControlClients) {
        reply = refusal({Errc::busy, "too many clients use the control socket; try again later"});
        open = false;
      } else {
        reply = co_await answer(std::move(line));
      }
      reply += '\n';
      iovec out{reply.data(), reply.size()};
      open = open && co_await stream.send({&out, 1}) == 0;
    }
    if (pending.size() > kMaxControlLine) break;  // nobody has that much to ask
  }
  clients_.erase(&stream);
  if (stopping_ && clients_.empty()) patience_.ring();
}

std::string ControlServer::refusal(const Error& error) {
  const Json reply = {{"uvdo", kControlVersion},
                      {"ok", false},
                      {"error", {{"code", name_of(error.code())}, {"message", error.message()}}}};
  return reply.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Task<std::string> ControlServer::answer(std::string line) {
  Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) {
    co_return refusal({Errc::protocol, "a request is one JSON object on a line"});
  }
  const auto version = request.find("uvdo");
  if (version == request.end() || *version != kControlVersion) {
    co_return refusal(
        {Errc::unsupported,
         fmt::format("a request names the protocol's version: \"uvdo\": {}", kControlVersion)});
  }
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) {
    co_return refusal({Errc::protocol, "a request names a \"command\""});
  }
  std::string name = command->get<std::string>();
  auto result = co_await handler_(std::move(name), std::move(request));
  if (!result) co_return refusal(result.error());
  const Json reply = {{"uvdo", kControlVersion}, {"ok", true}, {"result", *result}};
  co_return reply.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Task<void> ControlServer::shutdown() {
  stopping_ = true;
  for (UringLoop::Operation* operation : accepting_) loop_.cancel(*operation);
  for (SocketStream* client : clients_) client->end_input();
  if (!clients_.empty()) co_await patience_.sleep(std::chrono::seconds(1));
  for (SocketStream* client : clients_) client->shut_down();
  co_await tasks_.wait();
  sockets_.clear();
}

}  // namespace uvdo
