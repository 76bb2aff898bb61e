// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json.h"

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace uvdo {

namespace {

/// Whether arrays and objects stand in one another no deeper than kMaxJsonDepth, as far as `text`
/// is JSON. What is made of deep text has to be taken apart by recursion.
bool is_flat_enough(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return false;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return true;
}

/// JSON leaves control characters above 0x1F as they are; in text they stand in strings alone.
std::string with_escaped_controls(std::string text) {
  std::size_t at = 0;
  const auto is_control = [&](std::size_t i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0x7f) return true;
    return byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
  };
  while (at < text.size() && !is_control(at)) ++at;
  if (at == text.size()) return text;
  std::string out = text.substr(0, at);
  for (; at < text.size(); ++at) {
    if (!is_control(at)) {
      out += text[at];
    } else if (text[at] == 0x7f) {
      out += "\\u007f";
    } else {
      constexpr std::string_view kDigits = "0123456789abcdef";
      const auto low = static_cast<unsigned char>(text[++at]);
      out += "\\u00";
      out += kDigits[low >> 4U];
      out += kDigits[low & 0xfU];
    }
  }
  return out;
}

}  // namespace

std::optional<Json> parse_json(std::string_view text) {
  if (!is_flat_enough(text)) return std::nullopt;
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

std::string json_text(const Json& json, int indent) {
  return with_escaped_controls(json.dump(indent, ' ', false, Json::error_handler_t::replace));
}

}  // namespace uvdo
