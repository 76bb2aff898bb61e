// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "set": switches of a volume in use.
#pragma once

#include "control/message.h"

namespace uvdo {

/// What `no-space-timeout` may be set to at most.
inline constexpr std::chrono::seconds kLongestNoSpaceTimeout{86400};

/// All of them in an answer; in a request those that are to change.
struct VolumeSettings {
  static constexpr const char* kCompression = "compression";
  static constexpr const char* kDeduplication = "deduplication";
  static constexpr const char* kWriteThrough = "write-through";
  static constexpr const char* kNoSpaceTimeout = "no-space-timeout";

  std::optional<bool> compression{};
  std::optional<bool> deduplication{};
  std::optional<bool> write_through{};  ///< not told by servers of versions that lack it
  std::optional<std::chrono::seconds> no_space_timeout{};
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    constexpr std::string_view kSwitch = "is set to true or false";
    v.optional(kCompression, self.compression, kSwitch);
    v.optional(kDeduplication, self.deduplication, kSwitch);
    v.optional(kWriteThrough, self.write_through, kSwitch);
    v.optional(kNoSpaceTimeout, self.no_space_timeout, timeout_rule());
  }

 protected:
  [[nodiscard]] static std::string timeout_rule() {
    return fmt::format("is set to 0 to {} seconds", kLongestNoSpaceTimeout.count());
  }
};

/// All that is named is changed at once; after an error nothing is.
struct SetRequest : VolumeSettings {
  static constexpr std::string_view kCommand = "set";
  using Answer = VolumeSettings;
  [[nodiscard]] Result<void> check() const {
    if (!no_space_timeout || *no_space_timeout <= kLongestNoSpaceTimeout) return {};
    return Error(Errc::invalid_argument, fmt::format("\"{}\" {}", kNoSpaceTimeout, timeout_rule()));
  }
};

}  // namespace uvdo
