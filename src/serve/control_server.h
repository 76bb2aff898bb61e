// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket of a served volume: a line of JSON in, a line of JSON out, any number of
// clients (docs/control.md).
//   request:  {"uvdo": 1, "command": "stats", ...}
//   reply:    {"uvdo": 1, "ok": true, "result": {...}}
//             {"uvdo": 1, "ok": false, "error": {"code": "busy", "message": "..."}}
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "serve/client_server.h"

namespace uvdo {

inline constexpr int kControlVersion = 1;
inline constexpr std::size_t kMaxControlLine = 64U << 10U;  ///< of a request
inline constexpr std::size_t kMaxControlClients = 256;      ///< more are told to come back

class ControlServer {
 public:
  /// Answers one request (its "command" and the whole object).
  using Handler = std::function<Task<Result<Json>>(std::string command, Json request)>;

  ControlServer(UringLoop& loop, Handler handler);

  /// Listens on the unix socket at `path` and begins to answer.
  Result<void> start(const std::string& path);
  /// Ends all connections, after the replies under way; then nothing of it runs any more. A client
  /// that does not take its reply is given a second.
  Task<void> shutdown() { return server_.shutdown(); }
  [[nodiscard]] std::size_t clients() const { return server_.clients(); }
  /// Bytes of memory that clients can make it take for what they ask.
  static constexpr std::uint64_t kMemoryBound = kMaxControlClients * (kMaxControlLine + 8192);

 private:
  Task<void> serve(SocketStream& stream, bool crowded);
  Task<std::string> answer(std::string line);
  static std::string refusal(const Error& error);

  Handler handler_;
  ClientServer server_;
};

}  // namespace uvdo
