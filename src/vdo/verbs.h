// SPDX-License-Identifier: GPL-2.0-or-later
// What the verbs of `vdo` do, each with what was given for it. They tell what they do and what they
// have failed of; the status is that of the first failure.
#pragma once

#include "vdo/command_line.h"
#include "vdo/exit_status.h"
#include "vdo/messages.h"

namespace uvdo {

ExitStatus run_version(const VdoRequest& request, const Messages& messages);

}  // namespace uvdo
