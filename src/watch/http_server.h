// SPDX-License-Identifier: GPL-2.0-or-later
// Gives documents to those who ask by HTTP: metrics to a Prometheus, the status page to a browser.
// Nothing can be changed by it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/client_server.h"
#include "watch/http_request.h"

namespace uvdo {

struct HttpDocument {
  std::string path;       ///< "/metrics"
  std::string_view type;  ///< with its character set
  /// Makes it, of this moment; the request stays until it is made. Work that takes long gives way.
  std::function<Task<std::string>(const HttpRequest& request)> make;
};

/// What is to be had at an address, and from whom.
struct HttpSite {
  /// Whether the client must call the server by a name that leads nowhere else (is_own_host()):
  /// otherwise a page of somebody else could have a browser ask here.
  enum class Hosts : std::uint8_t {
    own,          ///< always
    own_but_unix  ///< not at sockets of the file system alone, which no browser reaches
  };
  Hosts hosts = Hosts::own;
  std::vector<std::string> names;       ///< besides addresses and localhost
  std::vector<HttpDocument> documents;  ///< by their paths
};

/// One request a connection. Wrong ones are answered with an HTTP error; a client that stays for
/// longer than kLongestStay is hung up on. On the volume's thread.
class HttpServer {
 public:
  /// Who looks asks once in some seconds: more at a time are told to come back.
  static constexpr std::size_t kMostClients = 16;
  /// For asking and taking the answer, of who is silent as of who is slow.
  static constexpr Duration kLongestStay = std::chrono::seconds(10);
  static constexpr std::size_t kMostRequestBytes = 8192;

  HttpServer(UringLoop& loop, HttpSite site);

  /// invalid_argument if others than this machine could reach the address; `what` would be given
  /// there.
  static Result<void> check_address(const SocketAddress& address, std::string_view what);
  void start(std::vector<ListeningSocket> sockets) { server_.start(std::move(sockets)); }
  [[nodiscard]] std::vector<std::string> addresses() const;
  /// Whether other machines may be able to ask.
  [[nodiscard]] bool is_remote() const;
  Task<void> shutdown() { return server_.shutdown(); }

 private:
  struct Reply {
    std::string head;
    std::string body;
  };
  [[nodiscard]] static Reply response(std::string_view status, std::string_view type,
                                      std::string body, std::string_view more_headers = "");
  [[nodiscard]] static Reply refusal(std::string_view status, std::string_view sentence,
                                     std::string_view more_headers = "");
  Task<void> serve(SocketStream& stream, bool crowded);
  [[nodiscard]] bool checks_hosts() const;
  [[nodiscard]] Task<Reply> answer(std::string_view text) const;

  UringLoop& loop_;
  HttpSite site_;
  ClientServer server_;
};

}  // namespace uvdo
