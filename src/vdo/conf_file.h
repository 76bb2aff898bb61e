// SPDX-License-Identifier: GPL-2.0-or-later
// The configuration file of `vdo`, /etc/vdoconf.yml: YAML with the volumes and their settings.
// Other programs read it line by line, so it is written as they know it: one field a line, sorted,
// nothing quoted that need not be.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "vdo/settings.h"

namespace uvdo {

/// The only version of the file that this program writes.
inline constexpr std::uint64_t kConfVersion = 538380551;

/// Fields that this program does not know, by key, as the YAML that stood there.
using UnknownFields = std::map<std::string, std::string, std::less<>>;

struct ConfVolume {
  SettingValues values{};
  UnknownFields unknown{};
  friend bool operator==(const ConfVolume&, const ConfVolume&) = default;
};

struct Configuration {
  std::map<std::string, ConfVolume, std::less<>> volumes{};  ///< by name
  std::uint64_t version = kConfVersion;
  UnknownFields unknown{};
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// corrupt: it is no such file; the error says where. An empty text holds no volume.
Result<Configuration> parse_configuration(std::string_view text);
/// The text from "config:" on; the file has a comment above.
[[nodiscard]] std::string configuration_text(const Configuration& configuration);

/// One that is missing holds no volume. Nothing is locked: who reads finds the file as it was
/// before a change, or after it.
Result<Configuration> read_configuration(const std::string& path);

/// The file while a command changes it: no other `vdo` does so meanwhile.
class LockedConfFile {
 public:
  /// Waits for another `vdo` however long it takes; `waiting` is told once if there is one.
  template <class Waiting>
  static Result<LockedConfFile> open(const std::string& path, const Waiting& waiting) {
    auto file = take(path, Patience::none);
    if (file || file.error().code() != Errc::busy) return file;
    waiting();
    return take(path, Patience::endless);
  }

  [[nodiscard]] Configuration& configuration() { return configuration_; }
  [[nodiscard]] const Configuration& configuration() const { return configuration_; }
  /// Replaces the file in one step; durable when it returns. unsupported: it is of a version that
  /// this program does not write.
  Result<void> save() const;

 private:
  enum class Patience : std::uint8_t { none, endless };
  LockedConfFile(std::string path, FileDescriptor lock, Configuration configuration)
      : path_(std::move(path)), lock_(std::move(lock)), configuration_(std::move(configuration)) {}
  static Result<LockedConfFile> take(const std::string& path, Patience patience);

  std::string path_;
  FileDescriptor lock_;
  Configuration configuration_;
};

}  // namespace uvdo
