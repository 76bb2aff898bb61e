// SPDX-License-Identifier: GPL-2.0-or-later
// Gives the metrics to a Prometheus that scrapes them: GET /metrics, on a unix socket or a port of
// this machine alone, since anybody who reaches it may ask.
#pragma once

#include <functional>
#include <string>

#include "net/client_server.h"

namespace uvdo {

/// One request a connection. Wrong ones are answered with an HTTP error; a client that stays for
/// longer than kLongestStay is hung up on. On the volume's thread.
class MetricsServer {
 public:
  /// Prometheus asks once in some seconds: more at a time are told to come back.
  static constexpr std::size_t kMostClients = 16;
  /// For asking and taking the answer, of who is silent as of who is slow.
  static constexpr Duration kLongestStay = std::chrono::seconds(10);
  static constexpr std::size_t kMostRequestBytes = 8192;

  /// `text` makes the metrics.
  MetricsServer(UringLoop& loop, std::function<std::string()> text);

  /// invalid_argument if others than this machine could reach the address.
  static Result<void> check_address(const SocketAddress& address);
  void start(std::vector<ListeningSocket> sockets) { server_.start(std::move(sockets)); }
  [[nodiscard]] std::vector<std::string> addresses() const;
  Task<void> shutdown() { return server_.shutdown(); }

 private:
  Task<void> serve(SocketStream& stream, bool crowded);
  [[nodiscard]] std::string answer(std::string_view request) const;

  UringLoop& loop_;
  std::function<std::string()> text_;
  ClientServer server_;
};

}  // namespace uvdo
