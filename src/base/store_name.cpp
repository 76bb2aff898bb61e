// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/store_name.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/core.h>

#include "base/run_folder.h"
#include "base/text_hash.h"

namespace uvdo {
namespace {

struct Scheme {
  std::string_view start;
  StoreKind kind;
};
constexpr std::array kSchemes{
    Scheme{"nbd://", StoreKind::nbd},      Scheme{"nbds://", StoreKind::nbd},
    Scheme{"nbd+unix://", StoreKind::nbd}, Scheme{"nbds+unix://", StoreKind::nbd},
    Scheme{"rbd:", StoreKind::rbd},
};

constexpr std::string_view kNbdPort = "10809";
/// Where Ceph looks if nothing else is said.
constexpr std::string_view kUsualCephConf = "/etc/ceph/ceph.conf";

bool begins_with_letters(std::string_view name, std::string_view start) {
  const auto small = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return name.size() >= start.size() &&
         std::ranges::equal(name.substr(0, start.size()), start, {}, small);
}

/// "%2F" and the like as what they stand for.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    if (text[i] == '%' && digits.size() == 2) {
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + 2, value, 16);
      if (error == std::errc() && end == digits.data() + 2) {
        plain.push_back(static_cast<char>(value));
        i += 2;
        continue;
      }
    }
    plain.push_back(text[i]);
  }
  return plain;
}

/// The value of "name=value" among those that "&" or ";" separates.
std::string parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find_first_of("&;"), query.size());
    const std::string_view one = query.substr(0, end);
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) {
      return unescaped(one.substr(name.size() + 1));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

}  // namespace

StoreKind kind_of_store(std::string_view name) {
  const auto found = std::ranges::find_if(
      kSchemes, [&](const Scheme& scheme) { return begins_with_letters(name, scheme.start); });
  return found == kSchemes.end() ? StoreKind::path : found->kind;
}

std::optional<NbdPlace> NbdPlace::of(std::string_view uri) {
  if (kind_of_store(uri) != StoreKind::nbd) return std::nullopt;
  const std::size_t start = uri.find("://");
  const bool is_unix = uri.substr(0, start).find('+') != std::string_view::npos;
  std::string_view rest = uri.substr(start + 3);
  rest = rest.substr(0, rest.find('#'));
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  const std::string_view query = rest.substr(std::min(mark + 1, rest.size()));
  rest = rest.substr(0, mark);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  NbdPlace place;
  place.export_name = unescaped(rest.substr(std::min(slash + 1, rest.size())));
  place.wait = parameter(query, "uvdo-wait");
  place.key_file = parameter(query, "tls-psk-file");
  place.certificates = parameter(query, "tls-certificates");
  if (is_unix) {
    place.server = "unix:" + parameter(query, "socket");
    return place;
  }
  std::string_view host = rest.substr(0, slash);
  // Who asks makes no other store of it.
  if (const std::size_t user = host.rfind('@'); user != std::string_view::npos) {
    host.remove_prefix(user + 1);
  }
  place.server = unescaped(host);
  std::ranges::transform(place.server, place.server.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  // The colons of an IPv6 address stand before its bracket.
  const std::size_t colon = place.server.rfind(':');
  const std::size_t bracket = place.server.rfind(']');
  const bool has_port =
      colon != std::string::npos && (bracket == std::string::npos || bracket < colon);
  if (!has_port) place.server.append(":").append(kNbdPort);
  return place;
}

std::optional<RbdPlace> RbdPlace::of(std::string_view name) {
  if (kind_of_store(name) != StoreKind::rbd) return std::nullopt;
  std::string_view rest = name.substr(name.find(':') + 1);
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  std::string_view query = rest.substr(std::min(mark + 1, rest.size()));
  rest = rest.substr(0, mark);
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  RbdPlace place;
  place.pool = unescaped(rest.substr(0, slash));
  place.image = unescaped(rest.substr(slash + 1));
  if (place.pool.empty() || place.image.empty() || place.image.find('/') != std::string::npos) {
    return std::nullopt;
  }
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    const std::size_t equal = std::min(one.find('='), one.size());
    const std::string_view key = one.substr(0, equal);
    std::string value = unescaped(one.substr(std::min(equal + 1, one.size())));
    if (value.empty()) return std::nullopt;
    if (key == "conf") {
      place.conf = std::move(value);
    } else if (key == "id") {
      place.id = std::move(value);
    } else if (key == "namespace") {
      place.name_space = std::move(value);
    } else {
      return std::nullopt;
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return place;
}

std::string store_key(const std::string& name) {
  switch (kind_of_store(name)) {
    case StoreKind::path: return name;
    case StoreKind::nbd: {
      const auto place = NbdPlace::of(name);
      return place ? fmt::format("nbd:{}/{}", place->server, place->export_name) : name;
    }
    case StoreKind::rbd: {
      // Who asks makes no other store of it; another configuration may be another cluster.
      const auto place = RbdPlace::of(name);
      if (!place) return name;
      const std::string conf = place->conf == kUsualCephConf ? "" : place->conf;
      return fmt::format("rbd:{}/{}/{}?{}", place->pool, place->name_space, place->image, conf);
    }
  }
  return name;
}

std::string file_name_of_store(const std::string& uri) {
  return fmt::format("store-{:016x}", text_hash(store_key(uri)));
}

std::string file_of_store(const std::string& name) {
  if (is_path(name)) return name;
  return fmt::format("{}/{}.lock", lock_folder(), file_name_of_store(name));
}

}  // namespace uvdo
