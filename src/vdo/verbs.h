// SPDX-License-Identifier: GPL-2.0-or-later
// What the verbs of `vdo` do, each with what was given for it. They tell what they do and what they
// have failed of; the status is that of the first failure.
#pragma once

#include "vdo/command_line.h"
#include "vdo/exit_status.h"
#include "vdo/messages.h"

namespace uvdo {

ExitStatus vdo_activate(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_change_write_policy(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_convert(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_create(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_deactivate(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_disable_compression(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_disable_deduplication(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_enable_compression(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_enable_deduplication(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_grow_logical(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_grow_physical(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_import(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_list(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_modify(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_print_config_file(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_remove(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_start(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_status(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_stop(const VdoRequest& request, const Messages& messages);
ExitStatus vdo_version(const VdoRequest& request, const Messages& messages);

}  // namespace uvdo
