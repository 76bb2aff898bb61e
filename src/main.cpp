// SPDX-License-Identifier: GPL-2.0-or-later
// One program with several names: uvdo, the old commands vdo and vdostats, and the generator of
// systemd's units. The last part of the name that it is called by decides; what they do is in
// src/cli, src/vdo and src/boot.
#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <new>
#include <string_view>

#include <unistd.h>

#include "base/print.h"
#include "boot/generator.h"
#include "cli/command.h"
#include "vdo/vdo_command.h"
#include "vdo/vdostats.h"

namespace {

struct Program {
  std::string_view name;
  int (*run)(int argc, char** argv);
};

/// The first one is also what any other name means.
constexpr std::array kPrograms{
    Program{"uvdo", uvdo::run_uvdo},
    Program{"uvdo-generator", uvdo::run_generator},
    Program{"vdo", uvdo::run_vdo},
    Program{"vdostats", uvdo::run_vdostats},
};

const Program& program_named(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const auto* found = std::ranges::find(kPrograms, name, &Program::name);
  return found == kPrograms.end() ? kPrograms.front() : *found;
}

/// Without memory nothing can be finished; a volume in use is recovered at its next start.
[[noreturn]] void out_of_memory() {
  constexpr std::string_view kText =
      "uvdo: the machine has not enough free memory for this; uvdo serve takes less with smaller "
      "--cache and --buffers\n";
  [[maybe_unused]] const auto ignored = write(STDERR_FILENO, kText.data(), kText.size());
  _exit(uvdo::kExitFailed);
}

}  // namespace

int main(int argc, char** argv) {
  uvdo::reserve_standard_descriptors();
  // A limit of file sizes is an error like others, and what was begun is cleared away.
  std::signal(SIGXFSZ, SIG_IGN);
  std::set_new_handler(out_of_memory);
  try {
    return program_named(argc > 0 ? argv[0] : "").run(argc, argv);
  } catch (const std::exception& error) {
    // Nothing on an I/O path throws; this is a mistake of ours.
    return uvdo::fail(error.what());
  }
}
