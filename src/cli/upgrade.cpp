// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo upgrade: has the server of a volume go on with the program that is installed now.
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include <fmt/core.h>

#include "base/child_program.h"
#include "base/print.h"
#include "cli/served_volume.h"
#include "control/hello_message.h"
#include "control/upgrade_message.h"

namespace uvdo {
namespace {

/// A program that goes on may have to open a large volume first.
constexpr int kTries = 600;
constexpr std::chrono::milliseconds kPause(100);

/// What the server says that goes on.
Result<HelloAnswer> wait_for_next(const ServedVolumeOptions& served) {
  for (int i = 0;; ++i) {
    auto hello = served.ask(HelloRequest());
    if (hello || i == kTries) return hello;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

int run_upgrade(int argc, char** argv) {
  ServedVolumeOptions served;
  std::string program;
  Arguments app(
      "Has the server of a volume go on with the program that is installed now, without an error "
      "for who uses the volume.",
      "uvdo upgrade");
  served.add_to(app);
  app.option("--program", program, "the program that is to go on (default: this one)");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  UpgradeRequest request;
  std::error_code error;
  request.program =
      program.empty() ? this_program() : std::filesystem::absolute(program, error).string();
  auto before = served.ask(HelloRequest());
  if (!before) return fail(before.error());
  if (auto asked = served.ask(request); !asked) {
    return fail(asked.error().within("the server goes on as it is"));
  }
  auto now = wait_for_next(served);
  if (!now) {
    return fail(now.error().within(
        "the server has ended, and none has followed; uvdo serve or uvdo attach starts one"));
  }
  if (!now->upgrade_problem.empty()) {
    return fail(fmt::format("{} does not go on, and uvdo {} does again: {}", request.program,
                            now->version, now->upgrade_problem));
  }
  print("{}: uvdo {} goes on in the place of {} (process {})\n", now->volume, now->version,
        before->version.empty() ? "an older one" : before->version, now->pid);
  return kExitOk;
}

}  // namespace uvdo
