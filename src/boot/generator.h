// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo-generator, which systemd runs at boot and when it reads its units again
// (systemd.generator(7)): it writes what boot_units_of() says of each named volume.
#pragma once

#include <string>

#include "base/result.h"
#include "boot/boot_units.h"
#include "registry/registry.h"

namespace uvdo {

/// Writes files and links below `folder`, which exists.
Result<void> write_boot_units(const BootUnits& units, const std::string& folder);

/// Writes those of all volumes of `registry`. What cannot be read or written is left out, and is
/// the error when all others are done: one wrong file keeps no other volume from its start.
Result<void> generate_units(const Registry& registry, const std::string& program,
                            const std::string& folder);

/// The program: argv[1] is the folder. Returns the exit status.
int run_generator(int argc, char** argv);

}  // namespace uvdo
