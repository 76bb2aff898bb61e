// SPDX-License-Identifier: GPL-2.0-or-later
// The old command `vdo`, as a second name of this program: its verbs, options, messages, files and
// exit statuses are those of vdo(8), so that programs and people that know it go on as they did.
#pragma once

namespace uvdo {

/// Runs the program; the exit status is one of ExitStatus.
int run_vdo(int argc, char** argv);

}  // namespace uvdo
