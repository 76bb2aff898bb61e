// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket of a served volume: a line of JSON in, a line of JSON out, any number of
// clients (docs/control.md).
//   request:  {"uvdo": 1, "command": "stats", ...}
//   reply:    {"uvdo": 1, "ok": true, "result": {...}}
//             {"uvdo": 1, "ok": false, "error": {"code": "busy", "message": "..."}}
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "serve/socket_address.h"
#include "serve/socket_stream.h"

namespace uvdo {

inline constexpr int kControlVersion = 1;
inline constexpr std::size_t kMaxControlLine = 64U << 10U;  ///< of a request
inline constexpr std::size_t kMaxControlClients = 64;       ///< more are told to come back

class ControlServer {
 public:
  using Json = nlohmann::ordered_json;
  /// Answers one request (its "command" and the whole object).
  using Handler = std::function<Task<Result<Json>>(std::string command, Json request)>;

  ControlServer(UringLoop& loop, Handler handler);
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Listens on the unix socket at `path` and begins to answer.
  Result<void> start(const std::string& path);
  /// Ends all connections, after the replies under way; then nothing of it runs any more. A client
  /// that does not take its reply is given a second.
  Task<void> shutdown();

 private:
  struct Client;
  Task<void> accept_clients(int fd);
  Task<void> serve(int fd);
  Task<std::string> answer(std::string line);
  static std::string refusal(const Error& error);

  UringLoop& loop_;
  Handler handler_;
  std::vector<ListeningSocket> sockets_;
  std::vector<UringLoop::Operation*> accepting_;
  std::unordered_set<SocketStream*> clients_;
  Alarm patience_;
  TaskGroup tasks_;
  bool stopping_ = false;
};

}  // namespace uvdo
