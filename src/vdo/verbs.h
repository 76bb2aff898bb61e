// SPDX-License-Identifier: GPL-2.0-or-later
// What the verbs of `vdo` do, each with what was given for it. They tell what they do and what they
// have failed of; the status is that of the first failure.
#pragma once

#include "vdo/command_line.h"
#include "vdo/exit_status.h"
#include "vdo/messages.h"

namespace uvdo {

ExitStatus run_activate(const VdoRequest& request, const Messages& messages);
ExitStatus run_change_write_policy(const VdoRequest& request, const Messages& messages);
ExitStatus run_create(const VdoRequest& request, const Messages& messages);
ExitStatus run_deactivate(const VdoRequest& request, const Messages& messages);
ExitStatus run_disable_compression(const VdoRequest& request, const Messages& messages);
ExitStatus run_disable_deduplication(const VdoRequest& request, const Messages& messages);
ExitStatus run_enable_compression(const VdoRequest& request, const Messages& messages);
ExitStatus run_enable_deduplication(const VdoRequest& request, const Messages& messages);
ExitStatus run_grow_logical(const VdoRequest& request, const Messages& messages);
ExitStatus run_grow_physical(const VdoRequest& request, const Messages& messages);
ExitStatus run_import(const VdoRequest& request, const Messages& messages);
ExitStatus run_list_verb(const VdoRequest& request, const Messages& messages);
ExitStatus run_modify(const VdoRequest& request, const Messages& messages);
ExitStatus run_print_config_file(const VdoRequest& request, const Messages& messages);
ExitStatus run_remove(const VdoRequest& request, const Messages& messages);
ExitStatus run_start(const VdoRequest& request, const Messages& messages);
ExitStatus run_status_verb(const VdoRequest& request, const Messages& messages);
ExitStatus run_stop_verb(const VdoRequest& request, const Messages& messages);
ExitStatus run_version(const VdoRequest& request, const Messages& messages);

}  // namespace uvdo
