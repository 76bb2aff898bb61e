// SPDX-License-Identifier: GPL-2.0-or-later
// The control commands that take nothing or little: "info", "flush", "dump", "log-level", "stop".
#pragma once

#include "control/message.h"
#include "watch/volume_description.h"

namespace uvdo {

/// What the volume is.
struct InfoRequest : NoParameters {
  static constexpr std::string_view kCommand = "info";
  using Answer = VolumeDescription;
};

/// Answered when all that was written before is stable.
struct FlushRequest : NoParameters {
  static constexpr std::string_view kCommand = "flush";
  using Answer = EmptyAnswer;
};

/// The inside of the volume, for people (control/state_dump.h).
struct DumpRequest : NoParameters {
  static constexpr std::string_view kCommand = "dump";
  using Answer = Json;
};

/// Answered when the volume has been saved; an error tells why it could not be. busy: somebody uses
/// a device that the server has made, and it goes on.
struct StopRequest {
  static constexpr std::string_view kCommand = "stop";
  using Answer = EmptyAnswer;
  bool force = false;  ///< also then; who uses one gets errors
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("force", self.force, "is true or false");
  }
};

struct LogLevelAnswer {
  std::string level = "unknown";  ///< as it is now
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("level", self.level);
  }
};

/// Asks for the level, or changes it: until the server ends, or reads another from its file.
struct LogLevelRequest {
  static constexpr std::string_view kCommand = "log-level";
  using Answer = LogLevelAnswer;
  std::optional<std::string> level{};  ///< none: it stays
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.optional("level", self.level, "is a name, such as \"debug\"");
  }
};

}  // namespace uvdo
