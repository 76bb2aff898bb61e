// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo serve: opens a volume and offers it as a block device, until it is told to stop.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "async/work_thread.h"
#include "base/machine_memory.h"
#include "base/size_text.h"
#include "block/service_views.h"
#include "cli/config_file.h"
#include "cli/doors.h"
#include "cli/log_file.h"
#include "cli/open_volume.h"
#include "cli/serve_options.h"
#include "cli/serve_reload.h"
#include "cli/server_signals.h"
#include "cli/version.h"
#include "control/control_path.h"
#include "control/suspension_control.h"
#include "control/volume_control.h"
#include "device/file_device.h"
#include "nbd/nbd_server.h"
#include "net/descriptor_reserve.h"
#include "net/service_manager.h"
#include "volume/memory_plan.h"
#include "volume/uds_index_factory.h"
#include "volume/volume_headers.h"
#include "watch/disk_watch.h"
#include "watch/metrics_server.h"
#include "watch/metrics_text.h"
#include "watch/process_memory.h"
#include "watch/volume_monitor.h"

namespace uvdo {
namespace {

/// The volume's path without links and "..": what it is called where nobody knows our folder.
std::string real_path_of(const std::string& volume) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(volume, error);
  return error ? volume : path.string();
}

/// The bytes of memory that the server needs at most; what the machine could not give later, when
/// the volume is in use, is refused.
Result<std::uint64_t> memory_to_serve(const VolumeHeaders& headers, const ServeOptions& options,
                                      std::uint64_t server_bytes) {
  const MemoryPlan plan =
      plan_memory(options.volume_options, headers.geometry, headers.super_block);
  auto fits = check_memory(plan, server_bytes, available_memory(),
                           "free some, or give less with --cache and --buffers");
  if (!fits) return std::move(fits).error();
  return plan.total() + server_bytes;
}

/// Says it where anybody on the network may use the volume.
void warn_of_strangers(const NbdServer& server, const ServeOptions& options, const Log& log) {
  const auto remote = server.remote_addresses();
  if (remote.empty() || options.tls.is_required()) return;
  log.write({LogLevel::warning,
             fmt::format("whoever reaches {} may {} the volume: with --tls-psk or --tls-ca only "
                         "those may whom you know",
                         fmt::join(remote, ", "), options.read_only ? "read" : "read and write")});
}

/// Raises the limit of open files, and compares it with the number of clients.
Result<void> fit_clients(ServeOptions& options) {
  const std::uint64_t limit = raise_descriptor_limit();
  if (options.clients + kOwnDescriptors <= limit) return {};
  const bool is_chosen = options.max_clients != ServeOptions().max_clients;
  if (is_chosen || limit <= kOwnDescriptors) {
    return Error(Errc::invalid_argument,
                 fmt::format("--max-clients {} needs {} open files, but the limit is {}: raise it "
                             "(ulimit -Hn, LimitNOFILE=), or let {} clients in at most",
                             options.clients, options.clients + kOwnDescriptors, limit,
                             limit > kOwnDescriptors ? limit - kOwnDescriptors : 0));
  }
  options.clients = static_cast<std::size_t>(limit - kOwnDescriptors);
  return {};
}

Task<Result<void>> serve_volume(UringLoop& loop, FileDevice& device, Volume& volume,
                                std::uint64_t memory_bytes, ServeOptions options,
                                std::optional<Doors> doors, ServerSignals& signals,
                                ServeReload& reload, TlsUpgrader* tls, Log& log) {
  RequestTimes times;
  NbdServer::Settings settings;
  settings.log = [&log](const std::string& line) { log.write(line); };
  settings.connection.tls.upgrader = tls;
  settings.connection.tls.required = options.tls.is_required();
  settings.connection.times = &times;
  settings.max_requests = options.requests;
  settings.max_connections = options.clients;
  DescriptorReserve reserve;
  settings.reserve = &reserve;
  NbdServer server(loop, settings);
  WindowView window(volume, options.window);
  ReadOnlyView view(window);
  BlockService* service = options.offset.empty() && options.size.empty()
                              ? static_cast<BlockService*>(&volume)
                              : &window;
  if (options.read_only) service = &view;
  server.add_export(
      {options.export_name, "uvdo volume " + options.volume, service, options.minimum_block});
  if (!doors) {
    auto opened = Doors::open(options);
    if (!opened) co_return std::move(opened).error();
    doors = std::move(*opened);
  }
  server.adopt(std::move(doors->nbd));
  DiskWatch disk(loop, device, [&log](const LogLine& line) { log.write(line); });
  VolumeMonitor::Settings watching;
  watching.volume = options.volume;
  watching.marks = options.marks;
  watching.hook = {options.watermark_command, options.hook_limit};
  watching.device = [&device] { return device.activity(); };
  std::function<void()> keep_link = [] {};  // so that it is found when its file has moved
  watching.look_beneath = [&disk, &volume, &keep_link] {
    const Pbn end{volume.super_block().config.physical_blocks};
    auto whole = disk.look(volume.geometry().device_byte(end));
    if (!whole) volume.fail(whole.error());
    keep_link();
  };
  watching.backing = [&disk] { return disk.backing(); };
  watching.clients = [&server] { return server.connections(); };
  VolumeMonitor monitor(loop, volume, times, std::move(watching),
                        [&log](const LogLine& line) { log.write(line); });
  ServerControl server_control;
  server_control.volume = options.volume;
  server_control.stop = [&signals] { signals.stop(); };
  server_control.log = &log;
  server_control.monitor = &monitor;
  server_control.disk = &disk;
  server_control.storages = [&device] { return device.storages(); };
  server_control.logical_block_size = options.logical_block_size;
  VolumeControl control(loop, volume, std::move(server_control));
  keep_link = [&] {
    if (options.account) return;
    // Also when another file has taken the place of the first.
    const auto usual = control_path_of(options.volume);
    doors->control_link->keep(volume.is_suspended() || !usual || *usual != doors->control_path);
  };
  const auto carry_out = [&](std::string command, Json request) -> Task<Result<Json>> {
    auto answer = co_await control.handle(std::move(command), std::move(request));
    keep_link();
    co_return answer;
  };
  const auto take_back = [&](std::string command) -> Task<void> {
    if (command != "suspend") co_return;
    co_await take_back_suspension(volume, [&log](const LogLine& line) { log.write(line); });
    keep_link();
  };
  ControlServer control_server(loop, carry_out, take_back, &reserve);
  control_server.start(std::move(doors->control));
  const std::string real_path = real_path_of(options.volume);
  MetricsServer metrics(loop, [&] {
    return metrics_text({real_path, to_text(volume.geometry().uuid), std::string(kVersion),
                         monitor.statistics(), monitor.activity()});
  });
  if (options.lock_memory) {
    if (auto locked = lock_memory(memory_bytes); !locked) {
      co_await control_server.shutdown();
      co_return locked;
    }
  }
  metrics.start(std::move(doors->metrics));
  server.start();
  TaskGroup watch(loop);
  watch.start(monitor.run());

  const ServiceManager manager;
  const std::string status =
      fmt::format("{} of {} logical size", options.volume, size_text(service->size()));
  log.write(fmt::format("serving {}", status));
  for (const std::string& address : server.addresses()) {
    log.write(fmt::format("  NBD on {}", address));
  }
  for (const std::string& address : metrics.addresses()) {
    log.write(fmt::format("  metrics on {}", address));
  }
  warn_of_strangers(server, options, log);
  log.write(fmt::format("  up to {} of memory", size_text(memory_bytes)));
  manager.notify_ready(status);
  signals.on_hangup([&] { reload.run(monitor); });
  co_await signals.wait_for_stop();
  signals.on_hangup([] {});
  manager.notify_stopping();
  log.write(signals.reason().empty() ? "stopping" : "stopping, because of " + signals.reason());
  auto resumed = co_await volume.end_suspension();
  monitor.stop();
  co_await watch.wait();
  co_await metrics.shutdown();
  co_await server.shutdown();
  auto stopped = co_await volume.stop();
  if (!resumed) stopped = std::move(resumed);
  if (stopped) stopped = disk.is_saved();
  control.stopped(stopped);
  co_await control_server.shutdown();
  if (stopped && !volume.is_opened_for_reading()) log.write("saved");
  co_return stopped;
}

/// Opens all that takes the rights of root, and gives them up.
Result<Doors> open_and_become(ServeOptions& options) {
  auto allowed = options.account->check_may_reopen(options.volume, !options.read_only);
  if (!allowed) return std::move(allowed).error();
  auto doors = Doors::open(options);
  if (!doors) return doors;
  if (options.lock_memory) allow_locked_memory();
  if (auto done = options.account->become(); !done) return std::move(done).error();
  return doors;
}

Task<Result<void>> open_and_serve(UringLoop& loop, ServeOptions options, ServerSignals& signals,
                                  ServeReload& reload, TlsUpgrader* tls, Log& log) {
  auto device = FileDevice::open(loop, options.volume,
                                 options.read_only ? OpenMode::read_only : OpenMode::read_write);
  if (!device) {
    // Whoever has the volume is not waited for twice.
    const bool is_busy = device.error().code() == Errc::busy;
    if (options.read_only || is_busy ||
        !FileDevice::open(loop, options.volume, OpenMode::read_only)) {
      co_return std::move(device).error();
    }
    co_return Error(
        device.error().code(),
        fmt::format("{}; to serve it without a write give --read-only", device.error().message()));
  }
  std::optional<Doors> doors;
  if (options.account) {
    // Before the kernel has anything to do for this process.
    auto opened = open_and_become(options);
    if (!opened) co_return std::move(opened).error();
    doors = std::move(*opened);
    ServeReload::warn_of_closed_files(options, log);
  }
  auto headers = co_await read_volume_headers(**device);
  std::uint64_t memory_bytes = 0;
  if (headers) {  // if not, the volume's opening says why
    NbdServer::Settings settings;
    settings.max_connections = options.clients;
    auto fits = memory_to_serve(
        *headers, options,
        NbdServer::memory_bound(settings, tls != nullptr) + ControlServer::kMemoryBound);
    if (!fits) co_return std::move(fits).error();
    memory_bytes = *fits;
  }
  const LogFunction write = [&log](const LogLine& line) { log.write(line); };
  std::unique_ptr<WorkThread> work;
  if (options.second_thread) {
    auto started = WorkThread::start(loop);
    if (started) {
      work = std::move(*started);
    } else {
      log.write(
          {LogLevel::warning, fmt::format("one processor is used: {}", started.error().message())});
    }
  }
  if (work) options.volume_options.use(*work);
  options.volume_options.memory_within_reach = [] { return memory_within_reach(); };
  IndexFactory factory = uds_index_factory(write, options.volume_options.work);
  auto volume =
      co_await Volume::open(loop, **device, options.volume_options, std::move(factory), write);
  if (!volume) co_return std::move(volume).error();
  auto result = co_await serve_volume(loop, **device, **volume, memory_bytes, std::move(options),
                                      std::move(doors), signals, reload, tls, log);
  if (!(*volume)->is_stopped()) {
    auto stopped = co_await (*volume)->stop();
    if (result && !stopped) result = std::move(stopped);
  }
  co_return result;
}

Task<void> run(UringLoop& loop, ServeOptions options, ServeReload& reload, TlsUpgrader* tls,
               Log& log, Result<void>& result) {
  ServerSignals signals(loop);
  result = signals.start();
  if (!result) co_return;
  auto served = co_await open_and_serve(loop, std::move(options), signals, reload, tls, log);
  result = std::move(served);
  co_await signals.end();
}

/// Looks at the volume without touching it.
Result<void> check_window_of(const ServeOptions& options) {
  auto image = open_volume(options.volume, {.replay = false});
  if (!image) return std::move(image).error();
  return check_window(options.window, (*image)->logical_blocks() * kBlockSize);
}

}  // namespace

int run_serve(int argc, char** argv) {
  ServeOptions options;
  Arguments app("Serves a volume as a network block device until SIGTERM, SIGINT or uvdo stop.",
                "uvdo serve");
  options.add_to(app);
  ConfigFile config;
  if (auto status =
          parse_arguments_with_config(app, "serve", options.volume, argc, argv, &config)) {
    return *status;
  }
  if (auto checked = options.check(); !checked) return usage_error(checked.error().message());
  if (!options.offset.empty() || !options.size.empty()) {
    auto fits = check_window_of(options);
    if (!fits && fits.error().code() == Errc::invalid_argument) {
      return usage_error(fits.error().message());
    }
    if (!fits) return fail(fits.error());
  }
  if (options.control.empty()) {  // before the volume is touched
    if (auto made = make_control_folder(); !made) return fail(made.error());
  }
  const std::size_t wanted_clients = options.clients;
  if (auto fits = fit_clients(options); !fits) return usage_error(fits.error().message());
  ServerSignals::hold();

  declare_io_flusher();
  auto loop = UringLoop::create();
  if (!loop) return fail(loop.error());
  if (WorkThread::is_worthwhile()) (*loop)->stay_awake_between_requests();
  std::unique_ptr<RenewableTls> tls;
  if (options.tls.any()) {
    auto context = RenewableTls::create(**loop, options.tls);
    if (!context) return fail(context.error());
    tls = std::move(*context);
  }
  std::optional<LogFile> file;
  if (!options.log_file.empty()) {
    auto opened = LogFile::open(options.log_file);
    if (!opened) return fail(opened.error().within("--log-file"));
    file.emplace(std::move(*opened));
  }
  auto log = Log::start(file ? file->fd() : STDOUT_FILENO, options.format, options.level);
  if (!log) return fail(log.error());
  if (options.clients != wanted_clients) {
    (*log)->write({LogLevel::warning,
                   fmt::format("the limit of open files leaves room for {} clients, not {}",
                               options.clients, wanted_clients)});
  }
  ServeReload reload(app, argc, argv, std::move(config), **log, file ? &*file : nullptr, tls.get());
  Result<void> result;
  (*loop)->run(run(**loop, std::move(options), reload, tls.get(), **log, result));
  return result ? kExitOk : fail(result.error());
}

}  // namespace uvdo
