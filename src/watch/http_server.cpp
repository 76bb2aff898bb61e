// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/http_server.h"

#include <algorithm>
#include <array>

#include <arpa/inet.h>
#include <fmt/core.h>

namespace uvdo {
namespace {

/// Work to make a document.
constexpr std::uint64_t kUnitsPerAnswer = 25'000;

// A browser is to run nothing but what comes from here, to show it in no frame of others, and to
// keep none of it.
constexpr std::string_view kHeaders =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src "
    "'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-store\r\n"
    "Connection: close\r\n";

/// Every address of 127.0.0.0/8, and the one of IPv6. By the text alone: names may resolve to what
/// they like.
bool is_loopback(const std::string& host) {
  in_addr address{};
  constexpr std::uint32_t kNetwork = 127;
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) {
    return ntohl(address.s_addr) >> 24U == kNetwork;
  }
  return host == "localhost" || host == "::1";
}

}  // namespace

HttpServer::HttpServer(UringLoop& loop, HttpSite site)
    : loop_(loop),
      site_(std::move(site)),
      server_(loop, {kMostClients, kLongestStay, {}, nullptr},
              [this](SocketStream& stream, bool crowded) { return serve(stream, crowded); }) {}

Result<void> HttpServer::check_address(const SocketAddress& address, std::string_view what) {
  if (address.kind == SocketAddress::Kind::unix_path || is_loopback(address.host)) return {};
  return Error(Errc::invalid_argument,
               fmt::format("{} given on unix:PATH or on a port of this machine, such as "
                           "tcp:127.0.0.1:9810, not on {}: anybody who reaches it may ask",
                           what, address.text()));
}

std::vector<std::string> HttpServer::addresses() const {
  std::vector<std::string> names;
  for (const ListeningSocket& socket : server_.sockets()) names.push_back(socket.name());
  return names;
}

bool HttpServer::is_remote() const {
  return std::ranges::any_of(server_.sockets(), &ListeningSocket::is_remote);
}

HttpServer::Reply HttpServer::response(std::string_view status, std::string_view type,
                                       std::string body, std::string_view more_headers) {
  Reply reply;
  reply.head = fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n",
                           status, type, body.size(), kHeaders, more_headers);
  reply.body = std::move(body);
  return reply;
}

HttpServer::Reply HttpServer::refusal(std::string_view status, std::string_view sentence,
                                      std::string_view more_headers) {
  return response(status, "text/plain; charset=utf-8", fmt::format("{}\n", sentence), more_headers);
}

Task<void> HttpServer::serve(SocketStream& stream, bool crowded) {
  std::string request;
  std::array<char, 2048> buffer{};
  Reply reply;
  while (reply.head.empty()) {
    if (crowded) {
      reply = refusal("503 Service Unavailable", "Too many ask at once; try again.");
    } else if (HttpRequest::is_whole(request)) {
      // Much of it is made at once: a turn of its own.
      co_await loop_.next_turn();
      auto making = answer(request);
      reply = co_await std::move(making);
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
  std::array<iovec, 2> out{
      {{reply.head.data(), reply.head.size()}, {reply.body.data(), reply.body.size()}}};
  // "Connection: close" was promised.
  if (co_await stream.send(out) == 0) stream.shut_down();
}

bool HttpServer::checks_hosts() const {
  switch (site_.hosts) {
    case HttpSite::Hosts::own: return true;
    case HttpSite::Hosts::own_but_unix:
      return !std::ranges::all_of(server_.sockets(), &ListeningSocket::is_unix);
  }
  return true;
}

Task<HttpServer::Reply> HttpServer::answer(std::string_view text) const {
  const auto request = HttpRequest::parse(text);
  if (!request) co_return refusal("400 Bad Request", request.error().message());
  if (checks_hosts() && (!request->host || !is_own_host(*request->host, site_.names))) {
    co_return refusal("421 Misdirected Request",
                      "Call this server by its address or as localhost: other names could lead a "
                      "browser here that means somebody else.");
  }
  if (request->method != "GET" && request->method != "HEAD") {
    co_return refusal("405 Method Not Allowed", "Nothing here can be changed: GET and HEAD alone.",
                      "Allow: GET, HEAD\r\n");
  }
  const auto found = std::ranges::find(site_.documents, request->path, &HttpDocument::path);
  if (found == site_.documents.end()) {
    std::string paths;
    for (const HttpDocument& document : site_.documents) paths += fmt::format(" {}", document.path);
    co_return refusal("404 Not Found", fmt::format("There is nothing here but{}.", paths));
  }
  auto making = found->make(*request);
  Reply reply = response("200 OK", found->type, co_await std::move(making));
  // What GET would bring, without bringing it.
  if (request->method == "HEAD") reply.body.clear();
  co_return reply;
}

}  // namespace uvdo
