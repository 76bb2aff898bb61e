// SPDX-License-Identifier: GPL-2.0-or-later
// The uvdo program; everything it does is in src/cli.
#include <exception>

#include "cli/command.h"

int main(int argc, char** argv) {
  try {
    return uvdo::run_uvdo(argc, argv);
  } catch (const std::exception& error) {
    // Nothing on an I/O path throws; this is memory running out, or a mistake of ours.
    return uvdo::fail(error.what());
  }
}
