// SPDX-License-Identifier: GPL-2.0-or-later
// Messages of the control socket: what a command takes and answers, as types that server and
// client share. A request is a struct with
//   kCommand      the command's name
//   Answer        the type of its answer: a struct with fields, or Json for a document
//   visit_fields  its parameters (base/json_fields.h), each with a rule
//   check()       if there is more to be said than each parameter alone: invalid_argument
// A family of them has a header of its own, *_message.h.
#pragma once

#include <algorithm>
#include <concepts>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "base/json_fields.h"
#include "control/control_protocol.h"

namespace uvdo {

template <class T>
concept ControlMessage = HasJsonFields<T> && requires {
  typename T::Answer;
  { T::kCommand } -> std::convertible_to<std::string_view>;
};

/// An answer that says no more than that it was done.
struct EmptyAnswer {
  template <class Self, class Visitor>
  static void visit_fields(Self& /*self*/, Visitor& /*v*/) {}
};

/// A request without parameters.
struct NoParameters {
  template <class Self, class Visitor>
  static void visit_fields(Self& /*self*/, Visitor& /*v*/) {}
};

// ---- the client's side

template <ControlMessage Request>
/// The request as it travels: parameters that are not set are left out.
[[nodiscard]] ControlRequest write_request(const Request& request) {
  return {std::string(Request::kCommand), fields_json(request)};
}

/// protocol: it is no such answer. What it has beside that is left alone: the server may be newer.
template <class Answer>
Result<Answer> read_answer(Json json) {
  if constexpr (std::same_as<Answer, Json>) {
    return json;
  } else {
    Answer answer;
    if (read_fields(json, answer)) return strange_answer();
    return answer;
  }
}

// ---- the server's side

/// invalid_argument names the parameter that is wrong, or that the command does not have.
template <ControlMessage Request>
Result<Request> read_request(const Json& parameters) {
  const auto keys = field_keys<Request>();
  for (const auto& [key, value] : parameters.items()) {
    if (std::ranges::find(keys, key) != keys.end()) continue;
    std::string known;
    for (const std::string_view name : keys) {
      known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", name);
    }
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" has no parameter \"{}\"; it takes {}", Request::kCommand, key,
                             known.empty() ? "none" : known));
  }
  Request request;
  if (const auto problem = read_fields(parameters, request)) {
    return Error(Errc::invalid_argument, fmt::format("\"{}\" {}", problem->key, problem->rule));
  }
  if constexpr (requires { request.check(); }) {
    if (auto checked = request.check(); !checked) return std::move(checked).error();
  }
  return request;
}

template <class Answer>
/// The answer as it travels; a document goes as it is.
[[nodiscard]] Json write_answer(Answer answer) {
  if constexpr (std::same_as<Answer, Json>) {
    return answer;
  } else {
    return fields_json(answer);
  }
}

}  // namespace uvdo
