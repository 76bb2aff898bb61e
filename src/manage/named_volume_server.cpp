// SPDX-License-Identifier: GPL-2.0-or-later
// Starting and stopping named volumes.
#include <fmt/core.h>
#include <unistd.h>

#include "base/child_program.h"
#include "boot/unit_name.h"
#include "manage/attach.h"
#include "manage/lvm_pool.h"
#include "manage/named_server.h"
#include "manage/named_volume.h"
#include "manage/start_server.h"
#include "manage/stop.h"

namespace uvdo {
namespace {

constexpr std::string_view kAttach = "attach";
constexpr std::string_view kLogFile = "log-file";

/// The unit that serves the volume, if the service manager is there and knows it; it reads the
/// folder of the machine alone.
std::optional<std::string> service_of(const Registry& registry, const std::string& name) {
  if (geteuid() != 0 || access("/run/systemd/system", F_OK) != 0) return std::nullopt;
  if (registry.folder() != Registry::default_folder()) return std::nullopt;
  std::string unit = service_unit_of(name);
  const auto known = run_program({"systemctl", "cat", unit});
  if (!known || known->status != 0) return std::nullopt;
  return unit;
}

Result<void> start_service(const std::string& unit) {
  // What the volume's file says of its disk and device counts for the unit from here on (boot/): so
  // what is mounted on the device is unmounted before the server ends.
  auto reloaded = run_program({"systemctl", "daemon-reload"});
  if (!reloaded) return std::move(reloaded).error();
  auto ended = run_program({"systemctl", "start", unit});
  if (!ended) return std::move(ended).error();
  if (ended->status == 0) return {};
  return Error(Errc::io, fmt::format("{} has not started: {}", unit, ended->error_text));
}

void load_drivers(const NamedVolume& volume) {
  for (const std::string& wanted : volume.serve.list(kAttach)) {
    load_device_driver(device_kind_of(wanted.substr(0, wanted.find(','))));
  }
}

Result<void> start_process(const Registry& registry, const NamedVolume& volume,
                           const StartOptions& options) {
  std::string log_file = options.log_file;
  if (log_file.empty()) log_file = volume.serve.text(kLogFile).value_or("");
  // What is behind a name's last dot is no suffix of it.
  if (log_file.empty()) log_file = default_log_file(volume.name + ".volume");
  std::vector<std::string> words{"serve", volume.storage, "--config",
                                 registry.path_of(volume.name)};
  words.insert(words.end(), options.options.begin(), options.options.end());
  return start_server_in_background(std::move(words), log_file);
}

/// Starts the volume, whose storage is there, if it does not run.
Result<StartedVolume> start_placed(const Registry& registry, const std::string& name,
                                   const StartOptions& options) {
  auto placed = place_named_volume(registry, name, true);
  if (!placed) return std::move(placed).error();
  StartedVolume started{std::move(placed->volume)};
  started.moved_from = std::move(placed->moved_from);
  auto server = server_of(started.volume);
  if (server) {
    auto devices = server->ask(DevicesRequest());
    if (!devices) return std::move(devices).error();
    started.was_running = true;
    started.devices = std::move(devices->devices);
    return started;
  }
  load_drivers(started.volume);
  const bool is_plain = options.options.empty() && options.log_file.empty();
  const auto service = options.by_service && is_plain ? service_of(registry, name) : std::nullopt;
  auto done = service ? start_service(*service) : start_process(registry, started.volume, options);
  if (!done) return std::move(done).error();
  server = server_of(started.volume);
  if (!server) return std::move(server).error();
  auto devices = server->ask(DevicesRequest());
  if (!devices) return std::move(devices).error();
  started.devices = std::move(devices->devices);
  if (!started.devices.empty()) wait_for_udev();
  return started;
}

}  // namespace

Result<StartedVolume> start_named_volume(const Registry& registry, const std::string& name,
                                         const StartOptions& options) {
  auto volume = registry.find(name);
  if (!volume) return std::move(volume).error();
  if (volume->lvm_pool.empty()) return start_placed(registry, name, options);
  auto taken = take_lvm_pool(volume->lvm_pool);
  if (!taken) return std::move(taken).error();
  auto started = start_placed(registry, name, options);
  if (!started) {
    // A server that has the pool, and does not answer, keeps it.
    const bool is_in_use = server_of(*volume).ok() || started.error().code() == Errc::busy;
    if (!is_in_use) return return_lvm_pool(*taken, std::move(started).error());
  }
  return started;
}

Result<bool> stop_named_volume(const Registry& registry, const std::string& name,
                               const StopOptions& options) {
  auto placed = place_named_volume(registry, name, true);
  // What is on no disk is not running.
  if (!placed && placed.error().code() == Errc::not_found && registry.has(name)) return false;
  if (!placed) return std::move(placed).error();
  auto server = server_of(placed->volume, options.server);
  auto stopped = server ? stop_server(*server, options.force) : std::move(server).error();
  if (!stopped && stopped.error().code() != Errc::not_found) return std::move(stopped).error();
  if (!placed->volume.lvm_pool.empty()) {
    auto released = release_lvm_pool(placed->volume.lvm_pool);
    if (!released) return std::move(released).error();
  }
  return stopped.ok();
}

}  // namespace uvdo
