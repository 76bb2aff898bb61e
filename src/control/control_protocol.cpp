// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_protocol.h"

#include <fmt/core.h>

#include "control/error_json.h"

namespace uvdo {
namespace {

constexpr const char* kVersionKey = "uvdo";
constexpr const char* kCommandKey = "command";
constexpr const char* kOkKey = "ok";
constexpr const char* kResultKey = "result";
constexpr const char* kErrorKey = "error";

}  // namespace

std::string request_text(ControlRequest request) {
  Json json = {{kVersionKey, kControlVersion}, {kCommandKey, std::move(request.command)}};
  json.update(request.parameters);
  return json_text(json);
}

Result<ControlRequest> parse_request(std::string_view line) {
  auto json = parse_json(line);
  if (!json || !json->is_object()) {
    return Error(Errc::protocol,
                 fmt::format("a request is one JSON object on a line, nested {} deep at most",
                             kMaxJsonDepth));
  }
  const auto version = json->find(kVersionKey);
  if (version == json->end() || *version != kControlVersion) {
    return Error(Errc::unsupported,
                 fmt::format("a request names the protocol's version: \"{}\": {}", kVersionKey,
                             kControlVersion));
  }
  const auto command = json->find(kCommandKey);
  if (command == json->end() || !command->is_string()) {
    return Error(Errc::protocol, fmt::format("a request names a \"{}\"", kCommandKey));
  }
  ControlRequest request{command->get<std::string>(), std::move(*json)};
  // What is left are the parameters; those that a command does not have are refused by
  // read_request().
  request.parameters.erase(kVersionKey);
  request.parameters.erase(kCommandKey);
  return request;
}

Json result_reply(Json result) {
  Json reply = {{kVersionKey, kControlVersion}, {kOkKey, true}};
  reply[kResultKey] = std::move(result);
  return reply;
}

Json error_reply(const Error& error) {
  return {{kVersionKey, kControlVersion}, {kOkKey, false}, {kErrorKey, error_json(error)}};
}

Result<Json> parse_reply(std::string_view line) {
  auto json = parse_json(line);
  if (!json || !json->is_object()) return strange_answer();
  const auto ok = json->find(kOkKey);
  if (ok == json->end() || !ok->is_boolean()) return strange_answer();
  // A success without a result is one of null; an error without words is no reply.
  const auto content = json->find(ok->get<bool>() ? kResultKey : kErrorKey);
  if (ok->get<bool>()) return content == json->end() ? Json() : std::move(*content);
  if (content == json->end()) return strange_answer();
  auto error = error_in(*content);
  if (!error) return strange_answer();
  return std::move(*error);
}

Error strange_answer() { return {Errc::protocol, "the server's answer cannot be understood"}; }

}  // namespace uvdo
