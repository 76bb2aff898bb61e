// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/http_request.h"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>

namespace uvdo {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool are_same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool is_token(std::string_view text) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    const char small = lower(c);
    return (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

/// Printable ASCII without spaces.
bool is_target(std::string_view text) {
  return text.starts_with('/') &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// The first line of `rest`, without its end, which is taken away.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

Error no_request(std::string_view why) {
  return {Errc::corrupt, "That is no HTTP request: " + std::string(why) + "."};
}

bool is_address(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace

bool HttpRequest::is_whole(std::string_view text) {
  return text.find("\r\n\r\n") != std::string_view::npos ||
         text.find("\n\n") != std::string_view::npos;
}

Result<HttpRequest> HttpRequest::parse(std::string_view text) {
  HttpRequest request;
  const std::string_view line = take_line(text);
  const std::size_t first = line.find(' ');
  const std::size_t second = line.find(' ', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || !line.substr(second + 1).starts_with("HTTP/1.")) {
    return no_request("its first line is not METHOD /PATH HTTP/1.1");
  }
  request.method = line.substr(0, first);
  request.path = line.substr(first + 1, second - first - 1);
  if (!is_token(request.method) || !is_target(request.path)) {
    return no_request("its first line has characters that cannot be there");
  }
  if (const std::size_t mark = request.path.find('?'); mark != std::string_view::npos) {
    request.query = request.path.substr(mark + 1);
    request.path = request.path.substr(0, mark);
  }
  while (!text.empty()) {
    const std::string_view header = take_line(text);
    if (header.empty()) break;
    const std::size_t colon = header.find(':');
    // A line that goes on with the one before has a space where the name should be.
    if (colon == std::string_view::npos || !is_token(header.substr(0, colon))) {
      return no_request("one of its lines is not NAME: VALUE");
    }
    if (!are_same(header.substr(0, colon), "host")) continue;
    if (request.host) return no_request("it names two hosts");
    request.host = trimmed(header.substr(colon + 1));
  }
  return request;
}

std::optional<std::uint64_t> HttpRequest::number(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!part.starts_with(name) || part.substr(name.size()).substr(0, 1) != "=") continue;
    part.remove_prefix(name.size() + 1);
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error == std::errc() && stop == part.data() + part.size()) return value;
  }
  return std::nullopt;
}

bool is_own_host(std::string_view host, const std::vector<std::string>& names) {
  std::string name;
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return false;
    name = host.substr(1, end - 1);
    port = host.substr(end + 1);
  } else {
    const std::size_t colon = std::min(host.find(':'), host.size());
    name = host.substr(0, colon);
    port = host.substr(colon);
  }
  const bool is_port =
      port.empty() ||
      (port.starts_with(':') && port.size() > 1 &&
       std::ranges::all_of(port.substr(1), [](char c) { return c >= '0' && c <= '9'; }));
  if (!is_port) return false;
  if (is_address(name)) return true;
  std::ranges::transform(name, name.begin(), lower);
  constexpr std::string_view kLocal = "localhost";
  if (name == kLocal || name.ends_with("." + std::string(kLocal))) return true;
  return std::ranges::any_of(names, [&](const std::string& own) { return are_same(own, name); });
}

}  // namespace uvdo
