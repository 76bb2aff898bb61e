// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo serve: opens a volume and offers it as a block device, until it is told to stop.
#include <csignal>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "async/work_thread.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/open_volume.h"
#include "device/file_device.h"
#include "serve/control_path.h"
#include "serve/nbd_server.h"
#include "serve/process_memory.h"
#include "serve/service_manager.h"
#include "serve/service_views.h"
#include "serve/tls_context.h"
#include "serve/volume_control.h"
#include "volume/uds_index_factory.h"

namespace uvdo {
namespace {

struct ServeOptions {
  std::string volume;
  std::vector<std::string> nbd;
  std::string export_name;
  bool read_only = false;
  bool tls_required = false;
  bool lock_memory = false;
  std::string compression = "on";
  std::string deduplication = "on";
  std::string cache = "128M";
  std::string buffers = "64M";
  std::string control;
  std::string offset;
  std::string size;
  ServiceWindow window;
  TlsFiles tls;
  std::vector<SocketAddress> addresses;
  std::vector<ListeningSocket> inherited;
  VolumeOptions volume_options;
  std::string log_level = "info";
  std::string log_format = "auto";
};

/// SIGTERM and SIGINT, as something that can be awaited.
class StopSignal {
 public:
  explicit StopSignal(UringLoop& loop) : loop_(loop), stopped_(loop) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    fd_ = FileDescriptor(signalfd(-1, &signals, SFD_CLOEXEC));
  }
  /// Waits for a signal, or for stop().
  Task<void> wait() {
    TaskGroup reader(loop_);
    reader.start(read_signal());
    co_await stopped_.wait();
    if (reading_ != nullptr) loop_.cancel(*reading_);
    co_await reader.wait();
  }
  void stop() { stopped_.set(); }

 private:
  Task<void> read_signal() {
    auto operation = loop_.perform(
        [this](io_uring_sqe* sqe) { io_uring_prep_read(sqe, fd_.get(), &info_, sizeof info_, 0); });
    reading_ = &operation;
    [[maybe_unused]] const int ignored = co_await operation;
    reading_ = nullptr;
    stopped_.set();
  }
  UringLoop& loop_;
  FileDescriptor fd_;
  signalfd_siginfo info_{};
  UringLoop::Operation* reading_ = nullptr;
  Event stopped_;
};

Result<void> check_options(ServeOptions& options) {
  const auto read_switch = [](const std::string& name, const std::string& value,
                              bool& on) -> Result<void> {
    if (value != "on" && value != "off") {
      return Error(Errc::invalid_argument,
                   fmt::format("--{} is on or off, not \"{}\"", name, value));
    }
    on = value == "on";
    return {};
  };
  auto done = read_switch("compression", options.compression, options.volume_options.compression);
  if (done) {
    done =
        read_switch("deduplication", options.deduplication, options.volume_options.deduplication);
  }
  if (!done) return done;
  auto cache = parse_size(options.cache);
  if (!cache) return std::move(cache).error().within("--cache");
  constexpr std::uint64_t kLeastCache = 16ULL << 20U;
  constexpr std::uint64_t kMostCache = 1ULL << 40U;
  if (*cache < kLeastCache || *cache > kMostCache) {
    return Error(Errc::invalid_argument,
                 fmt::format("--cache is {}; the block map cache takes from 16 MiB to 1 TiB",
                             options.cache));
  }
  options.volume_options.block_map_cache_pages = static_cast<std::uint32_t>(*cache / kBlockSize);
  auto buffers = parse_size(options.buffers);
  if (!buffers) return std::move(buffers).error().within("--buffers");
  if (*buffers < (4ULL << 20U) || *buffers > (64ULL << 30U)) {
    return Error(
        Errc::invalid_argument,
        fmt::format("--buffers is {}; data in flight takes from 4 MiB to 64 GiB", options.buffers));
  }
  const auto machine = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  if (*cache + *buffers > machine) {
    return Error(Errc::invalid_argument,
                 fmt::format("--cache {} and --buffers {} are more than the machine's memory of {}",
                             options.cache, options.buffers, size_text(machine)));
  }
  options.volume_options.buffer_bytes = *buffers;
  if (!options.offset.empty()) {
    auto offset = parse_size(options.offset);
    if (!offset) return std::move(offset).error().within("--offset");
    options.window.offset = *offset;
  }
  if (!options.size.empty()) {
    auto size = parse_size(options.size);
    if (!size) return std::move(size).error().within("--size");
    options.window.size = *size;
  }
  for (const std::string& text : options.nbd) {
    auto address = SocketAddress::parse(text);
    if (!address) return std::move(address).error();
    options.addresses.push_back(std::move(*address));
  }
  auto inherited = ServiceManager::take_sockets();
  if (!inherited) return std::move(inherited).error();
  options.inherited = std::move(*inherited);
  if (options.addresses.empty() && options.inherited.empty()) {
    return Error(Errc::invalid_argument,
                 "say where to serve: --nbd unix:PATH or --nbd tcp:HOST:PORT");
  }
  return {};
}

Task<Result<void>> serve_volume(UringLoop& loop, Volume& volume, ServeOptions options,
                                TlsUpgrader* tls, Log& log) {
  StopSignal signal(loop);
  NbdServer::Settings settings;
  settings.log = [&log](const std::string& line) { log.write(line); };
  settings.connection.tls.upgrader = tls;
  settings.connection.tls.required = options.tls_required;
  NbdServer server(loop, settings);
  WindowView window(volume, options.window);
  ReadOnlyView view(window);
  BlockService* service = options.offset.empty() && options.size.empty()
                              ? static_cast<BlockService*>(&volume)
                              : &window;
  if (options.read_only) service = &view;
  server.add_export({options.export_name, "uvdo volume " + options.volume, service});
  server.adopt(std::move(options.inherited));
  for (const SocketAddress& address : options.addresses) {
    auto listening = server.listen(address);
    if (!listening) co_return listening;
  }
  VolumeControl control(loop, volume, {options.volume, [&signal] { signal.stop(); }, &log});
  std::string control_path = options.control;
  if (control_path.empty()) {
    auto made = make_control_folder();
    auto path = control_path_of(options.volume);
    if (!made) co_return made;
    if (!path) co_return std::move(path).error();
    control_path = *path;
  }
  ControlLink link(options.volume, options.control.empty() ? control_path : std::string());
  ControlServer control_server(
      loop,
      [&](std::string command, ControlServer::Json request) -> Task<Result<ControlServer::Json>> {
        auto answer = co_await control.handle(std::move(command), std::move(request));
        // Also when another file has taken the place of the first.
        const auto usual = control_path_of(options.volume);
        link.keep(volume.is_suspended() || !usual || *usual != control_path);
        co_return answer;
      });
  auto controlled = control_server.start(control_path);
  if (!controlled) co_return controlled;
  if (options.lock_memory) {
    auto locked = lock_memory(volume.memory_needed() + server.memory_bound());
    if (!locked) co_return locked;
  }
  server.start();

  const ServiceManager manager;
  const std::string status =
      fmt::format("{} of {} logical size", options.volume, size_text(service->size()));
  log.write(fmt::format("serving {}", status));
  for (const std::string& address : server.addresses()) {
    log.write(fmt::format("  NBD on {}", address));
  }
  log.write(fmt::format(
      "  up to {} of memory",
      size_text(volume.memory_needed() + server.memory_bound() + ControlServer::kMemoryBound)));
  manager.notify_ready(status);
  co_await signal.wait();
  manager.notify_stopping();
  log.write("stopping");
  auto resumed = co_await volume.end_suspension();
  co_await server.shutdown();
  auto stopped = co_await volume.stop();
  if (!resumed) stopped = std::move(resumed);
  control.stopped(stopped);
  co_await control_server.shutdown();
  if (stopped) log.write("saved");
  co_return stopped;
}

Task<void> run(UringLoop& loop, ServeOptions options, TlsUpgrader* tls, Log& log,
               Result<void>& result) {
  auto device = FileDevice::open(loop, options.volume, OpenMode::read_write);
  if (!device) {
    result = std::move(device).error();
    co_return;
  }
  const LogFunction write = [&log](const LogLine& line) { log.write(line); };
  std::unique_ptr<WorkThread> work;
  if (WorkThread::is_worthwhile()) {
    auto started = WorkThread::start(loop);
    if (started) {
      work = std::move(*started);
    } else {
      log.write(
          {LogLevel::warning, fmt::format("one processor is used: {}", started.error().message())});
    }
  }
  if (work) options.volume_options.use(*work);
  IndexFactory factory = uds_index_factory(write, options.volume_options.work);
  auto volume =
      co_await Volume::open(loop, **device, options.volume_options, std::move(factory), write);
  if (!volume) {
    result = std::move(volume).error();
    co_return;
  }
  result = co_await serve_volume(loop, **volume, std::move(options), tls, log);
  if (!(*volume)->is_stopped()) {
    auto stopped = co_await (*volume)->stop();
    if (result && !stopped) result = std::move(stopped);
  }
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
  CLI::App app("Serves a volume as a network block device until SIGTERM, SIGINT or uvdo stop.",
               "uvdo serve");
  add_volume_argument(app, options.volume);
  app.add_option("--nbd", options.nbd, "listen on unix:PATH or tcp:HOST:PORT (repeatable)");
  app.add_option("--export-name", options.export_name, "the NBD export's name (default: empty)");
  app.add_flag("--read-only", options.read_only, "refuse writes of clients");
  app.add_option("--offset", options.offset, "serve the logical space from here on only");
  app.add_option("--size", options.size, "serve only so much of it (default: up to its end)");
  app.add_option("--compression", options.compression, "on or off")->capture_default_str();
  app.add_option("--deduplication", options.deduplication, "on or off")->capture_default_str();
  app.add_option("--cache", options.cache, "memory for the block map")->capture_default_str();
  app.add_option("--buffers", options.buffers, "memory for data in flight")->capture_default_str();
  app.add_flag("--lock-memory", options.lock_memory, "keep all memory from being paged out");
  app.add_option("--control", options.control, "path of the control socket");
  app.add_option("--log-level", options.log_level, "error, warning, notice, info or debug")
      ->capture_default_str();
  app.add_option("--log-format", options.log_format, "auto, plain, journal or json")
      ->capture_default_str();
  app.add_option("--tls-cert", options.tls.certificate, "PEM file of the server's certificate");
  app.add_option("--tls-key", options.tls.key, "PEM file of its private key");
  app.add_option("--tls-ca", options.tls.authority, "PEM file: only its clients are let in");
  app.add_option("--tls-psk", options.tls.psk, "file of pre-shared keys, NAME:HEXKEY a line");
  app.add_flag("--tls-required", options.tls_required, "refuse clients that don't use TLS");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (auto checked = check_options(options); !checked)
    return usage_error(checked.error().message());
  auto level = parse_log_level(options.log_level);
  if (!level) return usage_error("--log-level: " + level.error().message());
  auto format = Log::parse_format(options.log_format, STDOUT_FILENO);
  if (!format) return usage_error("--log-format: " + format.error().message());
  if (!options.offset.empty() || !options.size.empty()) {
    auto fits = check_window_of(options);
    if (!fits && fits.error().code() == Errc::invalid_argument) {
      return usage_error(fits.error().message());
    }
    if (!fits) return fail(fits.error());
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is an error of the device like others

  declare_io_flusher();
  auto loop = UringLoop::create();
  if (!loop) return fail(loop.error());
  std::unique_ptr<TlsContext> tls;
  if (options.tls.any()) {
    auto context = TlsContext::create(**loop, options.tls);
    if (!context) return fail(context.error());
    tls = std::move(*context);
  } else if (options.tls_required) {
    return usage_error("--tls-required needs --tls-cert and --tls-key, or --tls-psk");
  }
  Log log(stdout, *format, *level);
  Result<void> result;
  (*loop)->run(run(**loop, std::move(options), tls.get(), log, result));
  return result ? kExitOk : fail(result.error());
}

}  // namespace uvdo
