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

struct SuspendRequest {
  static constexpr std::string_view kCommand = "suspend";
  using Answer = SuspendAnswer;
  bool flush = true;  ///< false: the volume is not saved
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("flush", self.flush, "is true or false");
  }
};

struct ResumeRequest : NoParameters {
  static constexpr std::string_view kCommand = "resume";
  using Answer = EmptyAnswer;
};

}  // namespace uvdo
