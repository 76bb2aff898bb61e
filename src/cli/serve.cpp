// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo serve: opens a volume and offers it as a block device, until it is told to stop.
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "arguments/version.h"
#include "async/work_thread.h"
#include "base/child_program.h"
#include "base/machine_memory.h"
#include "cli/config_file.h"
#include "cli/log_file.h"
#include "cli/serve_options.h"
#include "cli/serve_reload.h"
#include "control/control_path.h"
#include "device/open_device.h"
#include "device/thin_store.h"
#include "lease/open_owned.h"
#include "manage/stopped_volume.h"
#include "nbd/nbd_server.h"
#include "net/descriptor_reserve.h"
#include "serve/background.h"
#include "serve/kept_writes.h"
#include "serve/server_signals.h"
#include "serve/standby.h"
#include "serve/status_page.h"
#include "serve/successor.h"
#include "serve/volume_server.h"
#include "volume/memory_plan.h"
#include "volume/uds_index_factory.h"
#include "volume/volume_headers.h"
#include "watch/process_memory.h"

namespace uvdo {
namespace {

/// The bytes of memory that the server needs at most; what the machine could not give later, when
/// the volume is in use, is refused.
Result<std::uint64_t> memory_to_serve(const VolumeHeaders& headers, const ServeOptions& options,
                                      std::uint64_t server_bytes) {
  // All that is ever taken is known from the options and the volume's sizes.
  const MemoryPlan plan =
      plan_memory(options.volume_options, headers.geometry, headers.super_block);
  auto fits = check_memory(plan, server_bytes, available_memory(),
                           "free some, or give less with --cache and --buffers");
  if (!fits) return std::move(fits).error();
  return plan.total() + server_bytes;
}

/// Raises the limit of open files, and compares it with the number of clients.
Result<void> fit_clients(ServeOptions& options) {
  const std::uint64_t limit = raise_descriptor_limit();
  if (options.clients + kOwnDescriptors <= limit) return {};
  // A default that does not fit is lowered, and the log says so; what somebody asked for is
  // refused.
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

/// Clients that were here before a server died are back after so long, if they come at all.
constexpr Duration kComesBack = std::chrono::minutes(10);

NbdServer::Settings nbd_settings(const ServeOptions& options, TlsUpgrader* tls) {
  NbdServer::Settings settings;
  settings.connection.tls.upgrader = tls;
  settings.connection.tls.required = options.tls.is_required();
  settings.max_connections = options.clients;
  if (options.has_followers) settings.goodbye = NbdServer::Settings::Goodbye::hang_up;
  return settings;
}

/// The NBD front end of what `server` offers, at `sockets`.
std::unique_ptr<NbdServer> nbd_front_end(UringLoop& loop, VolumeServer& server,
                                         const ServeOptions& options, TlsUpgrader* tls,
                                         std::vector<ListeningSocket> sockets, bool may_miss_writes,
                                         Log& log) {
  NbdServer::Settings settings = nbd_settings(options, tls);
  if (may_miss_writes) {
    settings.connection.first_flush_fails_until = loop.now() + kComesBack;
  }
  settings.log = [&log](const std::string& line) { log.write(line); };
  settings.connection.times = &server.times();
  settings.reserve = &server.reserve();
  auto nbd = std::make_unique<NbdServer>(loop, server.requests(), std::move(settings));
  nbd->add_export({options.export_name, "uvdo volume " + options.volume, &server.service(),
                   options.minimum_block});
  nbd->adopt(std::move(sockets));
  return nbd;
}

VolumeServer::Settings server_settings(const ServeOptions& options, std::uint64_t memory_bytes,
                                       ServerSignals& signals) {
  VolumeServer::Settings settings;
  settings.volume = options.volume;
  settings.version = kVersion;
  if (!options.offset.empty() || !options.size.empty()) settings.window = options.window;
  settings.read_only = options.read_only;
  settings.write_through = options.writes_through;
  settings.requests = options.requests;
  settings.logical_block_size = options.logical_block_size;
  settings.marks = options.marks;
  settings.hook = {options.watermark_command, options.hook_limit};
  settings.memory_bytes = memory_bytes;
  settings.lock_memory = options.lock_memory;
  // Without the rights of root the folder is closed; the link has been made before (Doors::open()).
  settings.may_link = !options.doors.account;
  settings.devices = options.devices;
  settings.ends_with_devices = options.until_detached;
  settings.stop = [&signals] { signals.stop(); };
  return settings;
}

/// Whether another program could serve the volume with the arguments of this one. Blocks.
Result<void> check_successor(const std::string& program,
                             const std::vector<std::string>& arguments) {
  std::vector<std::string> words{program, "serve", "--try"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  auto ended = run_program(words, ".");
  if (!ended) return std::move(ended).error();
  if (ended->status == 0) return {};
  return Error(
      Errc::invalid_argument,
      fmt::format("{} cannot go on: {}", program,
                  ended->error_text.empty() ? fmt::format("it ends with status {}", ended->status)
                                            : ended->error_text));
}

/// What outlives a server that is killed.
struct Kept {
  KeptDescriptors descriptors;
  std::optional<KeptWrites> writes;  ///< none for a volume that is only read
};

/// How a server has ended.
struct Ending {
  enum class By : std::uint8_t {
    itself,         ///< it was told to, or could not go on
    another_server  ///< it was shut out of its storage, which is another one's for good
  };
  Result<void> result;
  By by = By::itself;
};

/// What a server has around it from the start of the process on.
struct Surroundings {
  ServeReload& reload;
  TlsUpgrader* tls;  ///< none: without TLS
  Kept& kept;
  Successor& successor;
  Log& log;
  Background& background;
  Standby* standby;  ///< none: what somebody else has is not waited for
  Ending& ending;
};

Task<Result<void>> serve_volume(UringLoop& loop, BackingStore& device, Volume& volume,
                                std::uint64_t memory_bytes, ServeOptions options,
                                std::optional<Doors> doors, ServerSignals& signals,
                                bool may_miss_writes, const Surroundings& around) {
  const bool is_account = options.doors.account.has_value();
  auto arguments = options.arguments;
  // Without --user they are opened here, behind the volume: who can connect finds it in use.
  if (!doors) {
    auto opened = Doors::open(std::move(options.doors));
    if (!opened) co_return std::move(opened).error();
    doors = std::move(*opened);
  }
  VolumeServer::Settings settings = server_settings(options, memory_bytes, signals);
  settings.may_miss_writes = may_miss_writes;
  settings.kept = &around.kept.descriptors;
  Successor& successor = around.successor;
  settings.upgrade.problem = successor.problem();
  if (!is_account) {
    settings.upgrade.check = [&arguments](const std::string& program) {
      return check_successor(program, arguments);
    };
    // A service manager, a shell or a script waits for the process that it has started.
    settings.upgrade.may_move = options.fork && !ServiceManager().is_there();
    settings.upgrade.become = [&successor, &signals](const std::string& program, NextServer next) {
      successor.ask(program, next);
      signals.stop();
    };
  }
  VolumeServer server(loop, device, volume, std::move(settings), around.log);
  if (!is_account) {
    if (auto shared = successor.share(*doors); !shared) co_return shared;
  }
  if (!doors->nbd.empty()) {
    server.add(nbd_front_end(loop, server, options, around.tls, std::move(doors->nbd),
                             may_miss_writes, around.log));
  }
  auto started = co_await server.start(std::move(*doors));
  if (!started) co_return started;
  successor.arrived();
  around.background.ready();
  signals.on_hangup([&] { around.reload.run(server.monitor()); });
  co_await signals.wait_for_stop();
  // The monitor is about to end.
  signals.on_hangup([] {});
  auto stopped = co_await server.stop(signals.reason());
  if (!successor.is_asked()) successor.close();
  co_return stopped;
}

/// Opens all that takes the rights of root, and gives them up.
Result<Doors> open_and_become(ServeOptions& options) {
  const Account account = *options.doors.account;
  auto allowed = account.check_may_reopen(options.volume, !options.read_only);
  if (!allowed) return std::move(allowed).error();
  // Sockets belong to the account from the start, and can be removed by it.
  auto doors = Doors::open(std::move(options.doors));
  options.doors.account = account;  // of all that was moved away this is still asked for
  if (!doors) return doors;
  if (options.lock_memory) allow_locked_memory();
  if (auto done = account.become(); !done) return std::move(done).error();
  return doors;
}

KeptWrites::Before server_before(const ServeOptions& options, const Surroundings& around) {
  using Before = KeptWrites::Before;
  if (around.standby == nullptr) return Before::here;
  return options.writes_through ? Before::anywhere_written_through : Before::anywhere;
}

/// Leaves `options` as they are when somebody else has the volume: busy.
Task<Result<void>> open_and_serve(UringLoop& loop, ServeOptions& options, ServerSignals& signals,
                                  const Surroundings& around) {
  Kept& kept = around.kept;
  Log& log = around.log;
  // Once: what the program before this one had, or has lost since, is not taken again.
  if (options.takes_storage_over && !options.takes_over) {
    if (auto taken = take_over_device(options.volume); !taken) co_return std::move(taken).error();
  }
  const auto tell = [&log](const std::string& line) { log.write(line); };
  auto opening = open_owned_device(
      loop, options.volume, options.read_only ? OpenMode::read_only : OpenMode::read_write, tell);
  auto device = co_await std::move(opening);
  if (!device) {
    // Whoever has the volume is not waited for twice.
    const bool is_busy = device.error().code() == Errc::busy;
    if (around.standby != nullptr && Standby::may_pass(device.error())) {
      around.standby->lose(device.error());
      co_return std::move(device).error();
    }
    if (options.read_only || is_busy || !open_device(loop, options.volume, OpenMode::read_only)) {
      co_return std::move(device).error();
    }
    co_return Error(
        device.error().code(),
        fmt::format("{}; to serve it without a write give --read-only", device.error().message()));
  }
  // What follows is in this order: the device by the rights of the start; then they are given up,
  // before the kernel has threads of this process's; then memory is counted, before the volume is
  // touched; then the volume is opened.
  std::optional<Doors> doors;
  if (options.doors.account) {
    // Before the kernel has anything to do for this process.
    auto opened = open_and_become(options);
    if (!opened) co_return std::move(opened).error();
    doors = std::move(*opened);
    ServeReload::warn_of_closed_files(options, log);
  }
  auto headers = co_await read_volume_headers(**device);
  std::uint64_t memory_bytes = 0;
  if (headers) {  // if not, the volume's opening says why
    const std::uint64_t server_bytes =
        NbdServer::memory_bound(nbd_settings(options, around.tls), options.requests,
                                around.tls != nullptr) +
        ControlServer::kMemoryBound + (options.web.empty() ? 0 : StatusPage::kMemoryBound);
    auto fits = memory_to_serve(*headers, options, server_bytes);
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
  options.volume_options.discards_freed = options.discards ? *options.discards : is_thin(**device);
  IndexFactory factory = uds_index_factory(write, options.volume_options.work);
  kept.descriptors.take_over();
  KeptMemories memories;
  if (kept.writes && headers) {
    memories = kept.writes->take(*headers, options.volume_options, options.keeps_writes,
                                 server_before(options, around), write);
  }
  auto volume = co_await Volume::open(loop, **device, options.volume_options, std::move(factory),
                                      write, std::move(memories));
  if (!volume) {
    if (kept.writes) kept.writes->failed();
    co_return std::move(volume).error();
  }
  const bool may_miss_writes = kept.writes && kept.writes->opened((*volume)->kept_report(), write);
  auto serving = serve_volume(loop, **device, **volume, memory_bytes, std::move(options),
                              std::move(doors), signals, may_miss_writes, around);
  auto result = co_await std::move(serving);
  if (const auto state = (*device)->look(); !state && state.error().code() == Errc::read_only) {
    around.ending.by = Ending::By::another_server;
  }
  bool is_saved = result.ok();
  // A server that never began has not stopped its volume.
  if (!(*volume)->is_stopped()) {
    auto stopped = co_await (*volume)->stop();
    is_saved = stopped.ok();
    if (result && !stopped) result = std::move(stopped);
  }
  if (is_saved && kept.writes) kept.writes->saved();
  if (around.successor.is_asked()) {
    for (KeptDescriptor& one : kept.descriptors.take_copies()) around.successor.add(std::move(one));
  }
  if (is_saved) kept.descriptors.leave();
  co_return result;
}

/// All of a server's life on its loop: a signal that comes while the volume is being opened is
/// kept, and stops it when it is open.
Task<void> run(UringLoop& loop, ServeOptions& options, const Surroundings& around) {
  ServerSignals signals(loop);
  auto started = signals.start();
  if (!started) {
    around.ending.result = std::move(started);
    co_return;
  }
  auto serving = open_and_serve(loop, options, signals, around);
  auto served = co_await std::move(serving);
  around.ending.result = std::move(served);
  co_await signals.end();
  // One that comes in a lost race is for who waits on.
  if (around.standby != nullptr) around.standby->heed(signals.reason());
}

/// Looks at the volume without touching it.
Result<void> check_window_of(const ServeOptions& options) {
  auto image = open_volume(options.volume, {.replay = false});
  if (!image) return std::move(image).error();
  return check_window(options.window, (*image)->logical_blocks() * kBlockSize);
}

/// Refuses a part of the volume that it does not have. The exit status then.
std::optional<int> check_part(const ServeOptions& options, bool is_standby) {
  if (options.offset.empty() && options.size.empty()) return std::nullopt;
  auto fits = check_window_of(options);
  if (fits || (is_standby && Standby::may_pass(fits.error()))) return std::nullopt;
  if (fits.error().code() == Errc::invalid_argument) return usage_error(fits.error().message());
  return fail(fits.error());
}

/// To shut another server out is somebody's decision, for one time: not for who is started again
/// and again, and would do it each time.
Result<void> check_takes_over(const ServeOptions& options, bool is_standby) {
  if (!options.takes_storage_over || (!is_standby && !options.systemd_mark)) return {};
  return Error(Errc::invalid_argument,
               fmt::format("--take-over does not go with {}: take the volume over by uvdo serve "
                           "once, when it is known that its server is not to go on",
                           is_standby ? "uvdo standby" : "--systemd-mark"));
}

/// Refuses what is known to be wrong before anything is opened for writing. The exit status if
/// there is nothing left to do.
std::optional<int> check_beforehand(ServeOptions& options, bool is_standby) {
  auto checked = check_takes_over(options, is_standby);
  if (checked) checked = options.check();
  if (checked) checked = options.check_place();
  if (!checked) return usage_error(checked.error().message());
  if (options.is_trial) {
    // One that is in use is known to be a volume.
    const auto fits = check_window_of(options);
    return fits || fits.error().code() == Errc::busy ? kExitOk : fail(fits.error());
  }
  return check_part(options, is_standby);
}

/// What somebody keeps for servers of this volume, or is to keep. If there is no such volume, its
/// opening says so.
void find_kept(ServeOptions& options, const Successor& successor, Kept& kept) {
  if (auto path = find_control_path(options.doors)) {
    using How = KeptDescriptors::How;
    options.doors.control_path = *path;
    kept.descriptors = KeptDescriptors(*path, options.volume, successor.rest(),
                                       options.keeps_writes ? How::keep : How::only_take_over);
    if (!options.read_only) kept.writes.emplace(std::move(*path), kept.descriptors);
  }
}

/// Where a server writes what goes on: to its file, or standard output.
struct OpenLog {
  std::optional<LogFile> file;
  std::unique_ptr<Log> log;
};

Result<OpenLog> open_log(const ServeOptions& options) {
  OpenLog opened;
  if (!options.log_file.empty()) {
    auto file = LogFile::open(options.log_file);
    if (!file) return std::move(file).error().within("--log-file");
    opened.file.emplace(std::move(*file));
  }
  const int fd = opened.file ? opened.file->fd() : STDOUT_FILENO;
  auto log = Log::start(fd, options.format, options.level);
  if (!log) return std::move(log).error();
  opened.log = std::move(*log);
  return opened;
}

/// What a server is told at its start, and has until its end.
struct Beginning {
  int argc;
  char** argv;
  Arguments& app;
  const ConfigFile& config;
  Successor& successor;
  Background& background;
  std::size_t wanted_clients;
  Standby* standby;
};

/// Serves the volume; the exit status.
int serve_now(ServeOptions& options, const Beginning& beginning) {
  // Before there are threads, and signals that are held.
  Kept kept;
  find_kept(options, beginning.successor, kept);
  // Before other threads are started, which inherit the mask.
  ServerSignals::hold();

  // The same: it counts for this thread and those that it starts.
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
  auto opened = open_log(options);
  if (!opened) return fail(opened.error());
  Log& log = *opened->log;
  if (options.clients != beginning.wanted_clients) {
    log.write({LogLevel::warning,
               fmt::format("the limit of open files leaves room for {} clients, not {}",
                           options.clients, beginning.wanted_clients)});
  }
  ServeReload reload(beginning.app, beginning.argc, beginning.argv, beginning.config, log,
                     opened->file ? &*opened->file : nullptr, tls.get());
  Ending ending;
  const Surroundings around{
      reload, tls.get(), kept, beginning.successor, log, beginning.background, beginning.standby,
      ending};
  (*loop)->run(run(**loop, options, around));
  // A race that was lost is no failure.
  if (beginning.standby != nullptr && beginning.standby->has_lost()) return kExitFailed;
  switch (ending.by) {
    case Ending::By::another_server:
      // Who starts servers again would have the two shut each other out for ever.
      return usage_error(
          fmt::format("another server has taken {} over; this one is not to be "
                      "started again before that has ended",
                      options.volume));
    case Ending::By::itself: break;
  }
  return ending.result ? kExitOk : fail(ending.result.error());
}

/// Waits until nobody has the volume, and its storage is there; the exit status if that is not to
/// be served any more.
std::optional<int> stand_by(const ServeOptions& options, Standby& standby, Background& background) {
  if (!standby.must_wait()) return std::nullopt;
  auto opened = open_log(options);
  if (!opened) return fail(opened.error());
  // What may be a mistake is told to who has started it, too.
  if (opened->file && !standby.is_in_use()) {
    warn(fmt::format("standing by for {}: {}", options.volume, standby.reason()));
  }
  background.ready();
  const LogFunction write = [&](const LogLine& line) { opened->log->write(line); };
  if (standby.wait(write) == Standby::End::told_to_stop) return kExitOk;
  return check_part(options, true);
}

enum class Way : std::uint8_t { serve, stand_by };

/// A server's life; `successor` is told if another program is to go on.
int serve(int argc, char** argv, Successor& successor, Way way) {
  ServeOptions options;
  const bool is_standby = way == Way::stand_by;
  Arguments app(is_standby ? "Waits until nobody serves a volume any more, then serves it as uvdo "
                             "serve does."
                           : "Serves a volume as a network block device until SIGTERM, SIGINT or "
                             "uvdo stop.",
                is_standby ? "uvdo standby" : "uvdo serve");
  options.add_to(app);
  ConfigFile config;
  if (auto status =
          parse_arguments_with_config(app, "serve", options.volume, argc, argv, &config)) {
    return *status;
  }
  options.has_followers = is_standby;
  options.takes_over = successor.is_taking_over();
  options.arguments.assign(argv + 1, argv + argc);
  if (auto status = check_beforehand(options, is_standby)) return *status;
  options.doors.handed_over = successor.sockets();
  if (options.control.empty()) {  // before the volume is touched
    if (auto made = make_control_folder(); !made) return fail(made.error());
  }
  if (options.systemd_mark) mark_as_storage_daemon();  // before processes that it starts
  const std::size_t wanted_clients = options.clients;
  if (auto fits = fit_clients(options); !fits) return usage_error(fits.error().message());
  Background background;
  if (options.fork && !options.takes_over) {  // the process is in the background already
    auto begun = Background::begin();
    if (!begun) return fail(begun.error());
    background = std::move(*begun);
  }
  PidFile pid_file;
  if (!options.pid_file.empty()) {
    auto written = PidFile::write(options.pid_file);
    if (!written) return fail(written.error().within("--pid-file"));
    pid_file = std::move(*written);
  }
  Beginning beginning{argc, argv, app, config, successor, background, wanted_clients, nullptr};
  // What the program before had in this process is in use by no other one.
  if (!is_standby || options.takes_over) return serve_now(options, beginning);
  Standby standby(options.volume, options.read_only ? OpenMode::read_only : OpenMode::read_write);
  beginning.standby = &standby;
  ServerSignals::hold();
  while (true) {
    if (auto status = stand_by(options, standby, background)) return *status;
    const int status = serve_now(options, beginning);
    if (!standby.has_lost()) return status;
  }
}

int serve_or_become(int argc, char** argv, Way way) {
  Successor successor(ServiceManager::take_stored());
  const int status = serve(argc, argv, successor, way);
  // The signals that the server has held stay held for the program that goes on. What has not been
  // saved is in memory that somebody keeps, as if the server had been killed.
  if (successor.is_asked()) return fail(successor.become(argc, argv));
  // One that is back already does not go again.
  if (successor.is_taking_over() && successor.problem().empty()) {
    return fail(successor.go_back(argc, argv,
                                  fmt::format("it ended with status {}; its log may say "
                                              "why",
                                              status)));
  }
  return status;
}

}  // namespace

int run_serve(int argc, char** argv) { return serve_or_become(argc, argv, Way::serve); }

int run_standby(int argc, char** argv) { return serve_or_become(argc, argv, Way::stand_by); }

}  // namespace uvdo
