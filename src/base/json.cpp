// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json.h"

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace uvdo {

std::optional<Json> parse_json(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace uvdo
