// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "upgrade": the server's process goes on with another program.
#pragma once

#include "control/message.h"

namespace uvdo {

/// Answered when the volume has been saved, and devices and sockets wait for the program that goes
/// on; "hello" tells then which that is. After an error the server goes on as it was. busy: a
/// device cannot wait; invalid_argument: the program cannot serve the volume; unsupported: this
/// server cannot be followed.
struct UpgradeRequest {
  static constexpr std::string_view kCommand = "upgrade";
  using Answer = EmptyAnswer;
  std::string program{};  ///< its path, absolute
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("program", self.program, "is the path of a program");
  }
};

}  // namespace uvdo
