// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo upgrade: has the server of a volume go on with the program that is installed now.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include <fmt/core.h>

#include "base/child_program.h"
#include "base/print.h"
#include "cli/served_volume.h"
#include "control/device_message.h"
#include "control/hello_message.h"
#include "control/upgrade_message.h"
#include "manage/service_unit.h"

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

/// The unit that has to be started anew for the server to go on with another program; none if the
/// server does that by itself. Drivers of ublk and nbd take a device over from a process that has
/// ended, and only systemd may end and follow its own.
std::optional<std::string> unit_to_restart(const ServedVolumeOptions& served, std::uint64_t pid) {
  auto answer = served.ask(DevicesRequest());
  if (!answer) return std::nullopt;
  const bool has_some = std::ranges::any_of(answer->devices, [](const AttachedDevice& device) {
    return device.kind == DeviceKind::ublk || device.kind == DeviceKind::nbd;
  });
  return has_some ? service_unit_of(static_cast<pid_t>(pid)) : std::nullopt;
}

/// Has the server go on with `program`, or its unit with the one that it names.
Result<void> move_on(const ServedVolumeOptions& served, std::uint64_t pid,
                     const std::string& program) {
  if (const auto unit = unit_to_restart(served, pid)) return restart_unit(*unit);
  UpgradeRequest request;
  request.program = program;
  auto asked = served.ask(request);
  if (!asked) return std::move(asked).error().within("the server goes on as it is");
  return {};
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
  std::error_code error;
  program = program.empty() ? this_program() : std::filesystem::absolute(program, error).string();
  auto before = served.ask(HelloRequest());
  if (!before) return fail(before.error());
  if (auto moved = move_on(served, before->pid, program); !moved) return fail(moved.error());
  auto now = wait_for_next(served);
  if (!now) {
    return fail(now.error().within(
        "the server has ended, and none has followed; uvdo serve or uvdo attach starts one"));
  }
  if (!now->upgrade_problem.empty()) {
    return fail(fmt::format("{} does not go on, and uvdo {} does again: {}", program, now->version,
                            now->upgrade_problem));
  }
  print("{}: uvdo {} goes on in the place of {} (process {})\n", now->volume, now->version,
        before->version.empty() ? "an older one" : before->version, now->pid);
  return kExitOk;
}

}  // namespace uvdo
