// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "index": closes, opens, switches or makes anew the index of a volume in use.
#pragma once

#include <array>

#include "control/message.h"

namespace uvdo {

enum class IndexAction : std::uint8_t { create, close, enable, disable };
inline constexpr std::array kIndexActions{IndexAction::create, IndexAction::close,
                                          IndexAction::enable, IndexAction::disable};

[[nodiscard]] constexpr std::string_view name_of(IndexAction action) {
  switch (action) {
    case IndexAction::create: return "create";
    case IndexAction::close: return "close";
    case IndexAction::enable: return "enable";
    case IndexAction::disable: return "disable";
  }
  return "unknown";
}

[[nodiscard]] constexpr std::optional<IndexAction> index_action_of(std::string_view name) {
  for (const IndexAction action : kIndexActions) {
    if (name == name_of(action)) return action;
  }
  return std::nullopt;
}

template <>
struct JsonCodec<IndexAction> {
  static Json write(IndexAction action) { return std::string(name_of(action)); }
  static std::optional<IndexAction> read(const Json& json) {
    return json.is_string() ? index_action_of(json.get<std::string>()) : std::nullopt;
  }
};

struct IndexAnswer {
  std::string state = "unknown";  ///< of the index now
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("state", self.state);
  }
};

/// create: a new, empty index; close: none until it is enabled; enable: opened, and used; disable:
/// kept, and not asked.
struct IndexRequest {
  static constexpr std::string_view kCommand = "index";
  using Answer = IndexAnswer;
  IndexAction action{};
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("action", self.action, "is create, close, enable or disable");
  }
};

}  // namespace uvdo
