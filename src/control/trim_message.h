// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "trim".
#pragma once

#include "control/message.h"

namespace uvdo {

/// What was discarded beneath a volume.
struct TrimAnswer {
  std::uint64_t bytes = 0;  ///< of free blocks
  std::uint64_t runs = 0;   ///< of neighbouring ones
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("discardedBytes", self.bytes);
    v.value("runs", self.runs);
  }
};

/// Discards all free blocks beneath the volume. Answered when that is done. unsupported: its device
/// cannot.
struct TrimRequest : NoParameters {
  static constexpr std::string_view kCommand = "trim";
  using Answer = TrimAnswer;
};

}  // namespace uvdo
