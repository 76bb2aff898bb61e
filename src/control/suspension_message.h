// SPDX-License-Identifier: GPL-2.0-or-later
// The control commands "suspend" and "resume".
#pragma once

#include "control/message.h"

namespace uvdo {

struct SuspendAnswer {
  std::string state = "unknown";  ///< of the volume on its device
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("state", self.state);
  }
};

/// Answered when nothing reaches the device any more. Undone if its client goes away before it has
/// read the answer.
struct SuspendRequest {
  static constexpr std::string_view kCommand = "suspend";
  using Answer = SuspendAnswer;
  bool flush = true;  ///< false: the volume is not saved
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("flush", self.flush, "is true or false");
  }
};

/// Answered when the volume goes on; an error leaves it suspended.
struct ResumeRequest : NoParameters {
  static constexpr std::string_view kCommand = "resume";
  using Answer = EmptyAnswer;
};

}  // namespace uvdo
