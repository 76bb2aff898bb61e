// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/metrics_server.h"

#include <array>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// Work to make all metrics.
constexpr std::uint64_t kUnitsPerAnswer = 25'000;

std::string response(std::string_view status, std::string_view type, std::string_view body,
                     bool with_body = true) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, type, body.size(), with_body ? body : "");
}

std::string refusal(std::string_view status, std::string_view sentence) {
  return response(status, "text/plain; charset=utf-8", fmt::format("{}\n", sentence));
}

}  // namespace

MetricsServer::MetricsServer(UringLoop& loop, std::function<std::string()> text)
    : loop_(loop),
      text_(std::move(text)),
      server_(loop, {kMostClients, kLongestStay, {}, nullptr},
              [this](SocketStream& stream, bool crowded) { return serve(stream, crowded); }) {}

Result<void> MetricsServer::check_address(const SocketAddress& address) {
  if (address.kind == SocketAddress::Kind::unix_path) return {};
  // By the text: any other name may resolve to what it likes.
  if (address.host == "localhost" || address.host == "::1" || address.host.starts_with("127.")) {
    return {};
  }
  return Error(Errc::invalid_argument,
               fmt::format("metrics are given on unix:PATH or on a port of this machine, such as "
                           "tcp:127.0.0.1:9810, not on {}: anybody who reaches it may ask",
                           address.text()));
}

std::vector<std::string> MetricsServer::addresses() const {
  std::vector<std::string> names;
  for (const ListeningSocket& socket : server_.sockets()) names.push_back(socket.name());
  return names;
}

Task<void> MetricsServer::serve(SocketStream& stream, bool crowded) {
  std::string request;
  std::array<char, 2048> buffer{};
  std::string reply;
  while (reply.empty()) {
    if (crowded) {
      reply = refusal("503 Service Unavailable", "Too many ask at once; try again.");
    } else if (request.find("\r\n\r\n") != std::string::npos ||
               request.find("\n\n") != std::string::npos) {
      // All of it is made at once: a turn of its own.
      co_await loop_.next_turn();
      reply = answer(request);
      loop_.spend(kUnitsPerAnswer);
    } else if (request.size() > kMostRequestBytes) {
      reply = refusal("431 Request Header Fields Too Large", "The request is too long.");
    } else {
      const iovec slice{buffer.data(), buffer.size()};
      const std::ptrdiff_t got = co_await stream.receive({&slice, 1});
      if (got <= 0) co_return;
      request.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  iovec out{reply.data(), reply.size()};
  // "Connection: close" was promised.
  if (co_await stream.send({&out, 1}) == 0) stream.shut_down();
}

std::string MetricsServer::answer(std::string_view request) const {
  const std::string_view line = request.substr(0, request.find_first_of("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos || !line.substr(second + 1).starts_with("HTTP/1.")) {
    return refusal("400 Bad Request", "That is no HTTP request.");
  }
  const std::string_view method = line.substr(0, first);
  // Without a query, which nothing here takes.
  std::string_view path = line.substr(first + 1, second - first - 1);
  path = path.substr(0, path.find('?'));
  if (method != "GET" && method != "HEAD") {
    return refusal("405 Method Not Allowed", "Metrics are only read: GET /metrics.");
  }
  if (path != "/metrics") {
    return refusal("404 Not Found", "There is nothing here but /metrics.");
  }
  return response("200 OK", "text/plain; version=0.0.4; charset=utf-8", text_(), method == "GET");
}

}  // namespace uvdo
