// SPDX-License-Identifier: GPL-2.0-or-later
// The verbs that only tell: version.
#include "arguments/version.h"
#include "base/print.h"
#include "vdo/verbs.h"

namespace uvdo {

ExitStatus run_version(const VdoRequest& /*request*/, const Messages& /*messages*/) {
  print("{}\n", kVersion);
  return ExitStatus::success;
}

}  // namespace uvdo
