// SPDX-License-Identifier: GPL-2.0-or-later
// The command `vdostats`, as a name of this program: space used and saved of running VDO volumes,
// those of uvdo and those of Linux's own driver, as VDO 6 or VDO 8 tells it (docs/vdostats.md).
#pragma once

namespace uvdo {

/// Runs the program. 0: all that was asked for is shown; 1: some of it is not; 2: wrong arguments.
int run_vdostats(int argc, char** argv);

}  // namespace uvdo
