// SPDX-License-Identifier: GPL-2.0-or-later
// The uvdo program; everything it does is in src/cli.
#include <csignal>
#include <exception>
#include <new>
#include <string_view>

#include <unistd.h>

#include "base/print.h"
#include "cli/command.h"

namespace {

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
    return uvdo::run_uvdo(argc, argv);
  } catch (const std::exception& error) {
    // Nothing on an I/O path throws; this is a mistake of ours.
    return uvdo::fail(error.what());
  }
}
