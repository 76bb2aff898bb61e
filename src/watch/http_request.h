// SPDX-License-Identifier: GPL-2.0-or-later
// What a client of the HTTP server asks for, and the name that it calls the server by.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace uvdo {

/// The head of a request; the texts are parts of the one that was parsed.
struct HttpRequest {
  std::string_view method;  ///< "GET"
  std::string_view path;    ///< "/metrics"
  std::string_view query;   ///< what follows "?"; may be empty
  std::optional<std::string_view> host;

  /// Whether all of a head has come: `text` has an empty line.
  [[nodiscard]] static bool is_whole(std::string_view text);
  /// corrupt, with a sentence for the client: `text` is no head of HTTP/1, or one that could be
  /// understood in two ways.
  [[nodiscard]] static Result<HttpRequest> parse(std::string_view text);
  /// The number that the query gives for `name`, as in "after=17"; nothing if it gives none.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name) const;
};

/// Whether a browser that was sent to `host`, a header's value, was sent to a server here: it is an
/// address, "localhost" or a name below that, or one of `names`. A page from elsewhere can have its
/// own name lead to this machine (DNS rebinding), but none of these.
[[nodiscard]] bool is_own_host(std::string_view host, const std::vector<std::string>& names);

}  // namespace uvdo
