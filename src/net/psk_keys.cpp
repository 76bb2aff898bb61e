// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/psk_keys.h"

#include <cstring>
#include <optional>

#include <fmt/core.h>

#include "base/file_checks.h"

namespace uvdo {
namespace {

constexpr std::size_t kMostKeyBytes = std::size_t{1} << 20U;  // of a file

std::optional<unsigned> digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

std::optional<PskKeys::Key> from_hex(std::string_view text) {
  if (text.empty() || text.size() % 2 != 0) return std::nullopt;
  PskKeys::Key bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = digit(text[i]);
    const auto low = digit(text[i + 1]);
    if (!high || !low) return std::nullopt;
    bytes.push_back(static_cast<unsigned char>(*high * 16 + *low));
  }
  return bytes;
}

}  // namespace

PskKeys::~PskKeys() {
  for (auto& [name, key] : keys_) explicit_bzero(key.data(), key.size());
}

Result<PskKeys> PskKeys::read(const std::string& path) {
  auto text = read_small_file(path, kMostKeyBytes);
  if (!text) return std::move(text).error();
  auto keys = parse(*text);
  // The text has the keys, too; an optimiser must not take this away as useless.
  explicit_bzero(text->data(), text->size());
  if (!keys) return keys.error().within(path);
  return keys;
}

Result<PskKeys> PskKeys::parse(std::string_view text) {
  PskKeys keys;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (auto added = keys.add(line, number); !added) return std::move(added).error();
  }
  if (!keys.keys_.empty()) return keys;
  return Error(Errc::invalid_argument, "there is no pre-shared key in it");
}

Result<void> PskKeys::add(std::string_view line, std::size_t number) {
  const std::size_t colon = line.find(':');
  std::string name(line.substr(0, colon));
  // "#" begins a name in hexadecimal where a key follows, and a remark otherwise.
  if (name.starts_with('#')) {
    const auto bytes = from_hex(std::string_view(name).substr(1));
    if (!bytes || colon == std::string_view::npos) return {};  // a remark
    name.assign(bytes->begin(), bytes->end());
  }
  std::optional<Key> key;
  if (colon != std::string_view::npos) key = from_hex(line.substr(colon + 1));
  // The line may have a part of a key: it is not shown.
  if (name.empty() || !key) {
    return Error(
        Errc::invalid_argument,
        fmt::format("line {} is no pre-shared key: NAME:HEXKEY, as psktool makes them", number));
  }
  // try_emplace: of two lines for one name the first counts.
  keys_.try_emplace(std::move(name), std::move(*key));
  return {};
}

const PskKeys::Key* PskKeys::find(std::string_view name) const {
  const auto found = keys_.find(name);
  return found == keys_.end() ? nullptr : &found->second;
}

}  // namespace uvdo
