// SPDX-License-Identifier: GPL-2.0-or-later
// JSON whose members stay in their order, and the two ways between it and text. Its code is made in
// one file and not in each that includes it, which would take longer than all else there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace uvdo {

using Json = nlohmann::ordered_json;

/// Arrays and objects in one another, at most.
inline constexpr std::size_t kMaxJsonDepth = 32;

/// Nothing if `text` is not JSON, or is nested deeper than kMaxJsonDepth.
[[nodiscard]] std::optional<Json> parse_json(std::string_view text);

/// In one line, or with each level indented by so many spaces. Bytes that are no UTF-8 become
/// U+FFFD, and no control character is left as it is.
[[nodiscard]] std::string json_text(const Json& json, int indent = -1);

}  // namespace uvdo
