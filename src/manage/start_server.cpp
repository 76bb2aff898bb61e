// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/start_server.h"

#include <filesystem>

#include <fmt/core.h>
#include <unistd.h>

#include "base/child_program.h"
#include "base/journal_stream.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

/// Runs a program that helps where there is one; what comes of it shows later.
void try_program(const std::vector<std::string>& words) {
  if (const auto ended = run_program(words); !ended) return;
}

}  // namespace

Result<void> start_server_in_background(std::vector<std::string> words,
                                        const std::string& log_name) {
  const std::string log_file = absolute_log_name(log_name);
  std::error_code error;
  if (log_file != kJournal) fs::create_directories(fs::path(log_file).parent_path(), error);
  if (error) {
    return Error(Errc::io, fmt::format("cannot make the folder of the log {}: {}", log_file,
                                       error.message()));
  }
  words.insert(words.begin(), this_program());
  words.insert(words.end(), {"--fork", "--log-file", log_file});
  auto ended = run_program(words);
  if (!ended) return std::move(ended).error().within("starting a server");
  if (ended->status == 0) return {};
  return Error(Errc::io,
               ended->error_text.empty() ? "the server has not started" : ended->error_text);
}

void load_device_driver(std::optional<DeviceKind> kind) {
  if (geteuid() != 0) return;
  const auto wants = [&](DeviceKind wanted) { return !kind || kind == wanted; };
  if (wants(DeviceKind::ublk) && access("/dev/ublk-control", F_OK) != 0) {
    try_program({"modprobe", "--quiet", "ublk_drv"});
  } else if (kind == DeviceKind::nbd && access("/sys/module/nbd", F_OK) != 0) {
    try_program({"modprobe", "--quiet", "nbd"});
  } else if (kind == DeviceKind::fuse && access("/dev/loop-control", F_OK) != 0) {
    try_program({"modprobe", "--quiet", "loop"});
  }
}

void wait_for_udev() {
  if (access("/run/udev/control", F_OK) == 0) try_program({"udevadm", "settle", "--timeout=10"});
}

}  // namespace uvdo
