// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/control_server.h"

#include <fmt/core.h>

namespace uvdo {

ControlServer::ControlServer(UringLoop& loop, Handler handler)
    : handler_(std::move(handler)),
      server_(loop, kMaxControlClients,
              [this](SocketStream& stream, bool crowded) { return serve(stream, crowded); }) {}

Result<void> ControlServer::start(const std::string& path) {
  SocketAddress address;
  address.path = path;
  auto sockets = ListeningSocket::open(address);
  if (!sockets) return std::move(sockets).error().within("control socket");
  server_.start(std::move(*sockets));
  return {};
}

Task<void> ControlServer::serve(SocketStream& stream, bool crowded) {
  std::string pending;
  std::array<char, 4096> buffer{};
  for (bool open = true; open;) {
    const iovec slice{buffer.data(), buffer.size()};
    const std::ptrdiff_t got = co_await stream.receive({&slice, 1});
    if (got <= 0) break;
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t end = 0;
    while (open) {
      std::string reply;
      end = pending.find('\n');
      if (crowded) {
        reply = refusal({Errc::busy, "too many clients use the control socket; try again later"});
        open = false;
      } else if (end != std::string::npos) {
        std::string line = pending.substr(0, end);
        pending.erase(0, end + 1);
        reply = co_await answer(std::move(line));
      } else if (pending.size() > kMaxControlLine) {
        reply = refusal({Errc::protocol, fmt::format("a request is one line of at most {} bytes",
                                                     kMaxControlLine)});
        open = false;
      } else {
        break;
      }
      reply += '\n';
      iovec out{reply.data(), reply.size()};
      open = co_await stream.send({&out, 1}) == 0 && open;
    }
  }
}

std::string ControlServer::refusal(const Error& error) {
  const Json reply = {{"uvdo", kControlVersion},
                      {"ok", false},
                      {"error", {{"code", name_of(error.code())}, {"message", error.message()}}}};
  return json_text(reply);
}

Task<std::string> ControlServer::answer(std::string line) {
  auto request = parse_json(line);
  if (!request || !request->is_object()) {
    co_return refusal({Errc::protocol, "a request is one JSON object on a line"});
  }
  const auto version = request->find("uvdo");
  if (version == request->end() || *version != kControlVersion) {
    co_return refusal(
        {Errc::unsupported,
         fmt::format("a request names the protocol's version: \"uvdo\": {}", kControlVersion)});
  }
  const auto command = request->find("command");
  if (command == request->end() || !command->is_string()) {
    co_return refusal({Errc::protocol, "a request names a \"command\""});
  }
  std::string name = command->get<std::string>();
  auto result = co_await handler_(std::move(name), std::move(*request));
  if (!result) co_return refusal(result.error());
  const Json reply = {{"uvdo", kControlVersion}, {"ok", true}, {"result", *result}};
  co_return json_text(reply);
}

}  // namespace uvdo
