// SPDX-License-Identifier: GPL-2.0-or-later
// The frame of what goes over the control socket, for both of its ends (docs/control.md). What a
// command takes and answers is a message (control/message.h).
//   request:  {"uvdo": 1, "command": "stats", ...}
//   reply:    {"uvdo": 1, "ok": true, "result": {...}}
//             {"uvdo": 1, "ok": false, "error": {"code": "busy", "message": "..."}}
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace uvdo {

inline constexpr int kControlVersion = 1;

/// A request: its command, and an object with its parameters.
/// What is in the frame; the frame itself is written and looked at by request_text() and
/// parse_request() alone.
struct ControlRequest {
  std::string command;
  Json parameters = Json::object();
};

/// A line, without its end.
[[nodiscard]] std::string request_text(ControlRequest request);
/// protocol, unsupported: the line is no request of this version.
Result<ControlRequest> parse_request(std::string_view line);

/// The two forms of a reply; json_text() of one is its line.
[[nodiscard]] Json result_reply(Json result);
[[nodiscard]] Json error_reply(const Error& error);
/// The result of a reply, or the error that it tells. protocol: it is no reply.
Result<Json> parse_reply(std::string_view line);

/// What a client says of an answer that makes no sense to it.
[[nodiscard]] Error strange_answer();

}  // namespace uvdo
