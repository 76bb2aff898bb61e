// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo top: a served volume at work, live in the terminal.
#pragma once

namespace uvdo {

int run_top(int argc, char** argv);

}  // namespace uvdo
