// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "status": whether all is well, in sentences; and where a browser is
// told the same.
#pragma once

#include <string>
#include <vector>

#include "control/message.h"
#include "watch/health.h"

namespace uvdo {

/// Health, and whether all is well, in the same object.
struct StatusAnswer {
  bool is_well = true;
  Health health;
  std::vector<std::string> web{};  ///< where its status page is, if there is one
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("well", self.is_well);
    v.value("summary", self.health.summary);
    v.value("troubles", self.health.troubles);
    v.value("notes", self.health.notes);
    v.value("web", self.web);
  }
};

struct StatusRequest : NoParameters {
  static constexpr std::string_view kCommand = "status";
  using Answer = StatusAnswer;
};

}  // namespace uvdo
