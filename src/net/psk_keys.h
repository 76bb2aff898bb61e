// SPDX-License-Identifier: GPL-2.0-or-later
// Pre-shared keys of TLS, as psktool writes them: lines NAME:HEXKEY. They are read once, so that no
// handshake needs the file, and clients get the keys that were found sound together.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace uvdo {

/// Not changed once read; RenewableTls makes another one of a changed file.
class PskKeys {
 public:
  using Key = std::vector<unsigned char>;

  PskKeys() = default;
  PskKeys(const PskKeys&) = delete;
  PskKeys& operator=(const PskKeys&) = delete;
  PskKeys(PskKeys&&) = default;
  PskKeys& operator=(PskKeys&&) = default;
  ~PskKeys();  // leaves none in memory

  /// Reads a file; see parse() for what may be in it.
  static Result<PskKeys> read(const std::string& path);
  /// A name of other than printable characters is #HEX. Empty lines and other lines that begin with
  /// # count for nothing, and of a name that is there twice the first line. invalid_argument: there
  /// is a line that is no key, or no key at all.
  static Result<PskKeys> parse(std::string_view text);

  /// Null if nobody is called so.
  [[nodiscard]] const Key* find(std::string_view name) const;

 private:
  Result<void> add(std::string_view line, std::size_t number);

  std::map<std::string, Key, std::less<>> keys_;
};

}  // namespace uvdo
