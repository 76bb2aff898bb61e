// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/serve_options.h"

#include <fmt/core.h>
#include <unistd.h>

#include "async/work_thread.h"
#include "base/journal_stream.h"
#include "base/size_text.h"
#include "cli/device_options.h"
#include "cli/parameter.h"
#include "net/service_manager.h"
#include "serve/attachments.h"
#include "volume/memory_plan.h"
#include "watch/http_server.h"
#include "watch/space_watch.h"

namespace uvdo {
namespace {

using Kind = ParameterLimits::Kind;

// Limits of the numbers, each with what somebody is told who goes beyond it.
constexpr ParameterLimits kCache{Kind::size, kLeastCacheBytes, 1ULL << 40U,
                                 "with less, pages would be read again and again; no machine has "
                                 "more"};
constexpr ParameterLimits kEraLength{Kind::count, 1, 16380,
                                     "changed pages of the block map are written after so many "
                                     "blocks of the recovery journal, before it comes round"};
constexpr ParameterLimits kBuffers{Kind::size, kLeastBufferBytes, 64ULL << 30U,
                                   "one request takes up to 128 KiB, and more than that many in "
                                   "flight make nothing faster"};
constexpr ParameterLimits kHookTimeout{Kind::count, 1, 86400,
                                       "the next event waits for the end of the command"};
constexpr ParameterLimits kMaxRequests{Kind::count, 1, 2048,
                                       "requests of all clients in flight; with more they wait"};
constexpr ParameterLimits kMaxClients{Kind::count, 1, 1024,
                                      "each takes 256 KiB of memory; with more, new ones are "
                                      "turned away"};

Result<void> check_memory_of_options(const ServeOptions& options) {
  // What this machine could never give. Whether it can give it now is seen when the volume is known
  // (memory_to_serve() in serve.cpp).
  const auto machine = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t cache =
      std::uint64_t{options.volume_options.block_map_cache_pages} * kBlockSize;
  if (cache + options.volume_options.buffer_bytes <= machine) return {};
  return Error(Errc::invalid_argument,
               fmt::format("--cache {} and --buffers {} are more than the machine's memory of {}",
                           options.cache, options.buffers, size_text(machine)));
}

/// One word behind the kind of --attach: "name=x".
Result<void> read_attached_word(const std::string& word, AttachRequest& device) {
  const std::size_t equals = word.find('=');
  const std::string key = word.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  if (key == "read-only" && equals == std::string::npos) {
    device.read_only = true;
    return {};
  }
  if (key == "name" && !value.empty()) {
    device.name = value;
    return {};
  }
  if (key == "offset" || key == "size") {
    auto bytes = parse_size(value);
    if (!bytes) return bytes.error().within("--attach: " + key);
    if (key == "size") device.size = *bytes;
    if (key == "offset") device.offset = *bytes;
    return {};
  }
  return Error(Errc::invalid_argument,
               fmt::format("--attach has no \"{}\"; behind its kind it takes name=NAME, "
                           "offset=SIZE, size=SIZE and read-only, parted by commas",
                           word));
}

/// "KIND,name=x,offset=1M", over what `device` says already.
Result<void> read_attached(const std::string& text, AttachRequest& device) {
  std::size_t comma = text.find(',');
  auto kind = parse_device_kind("--attach", text.substr(0, comma));
  if (!kind) return std::move(kind).error();
  device.kind = *kind;
  while (comma != std::string::npos) {
    const std::size_t start = comma + 1;
    comma = text.find(',', start);
    const std::size_t length = comma == std::string::npos ? comma : comma - start;
    if (auto read = read_attached_word(text.substr(start, length), device); !read) return read;
  }
  return {};
}

}  // namespace

void ServeOptions::add_to(Arguments& app) {
  add_volume_argument(app, volume).required(false);
  app.option("--config", config, "TOML file with these options in a table [serve]");
  app.option("--offset", offset, "serve the logical space from here on only");
  app.option("--size", size, "serve only so much of it (default: up to its end)");
  add_settings_to(app);
  app.flag("--until-detached", until_detached, "end when the last such device is detached");
  app.flag("--take-over", takes_storage_over,
           "of an image of Ceph: shut its server on another machine out, for good");
  app.flag("--try", is_trial, "only find out whether the volume could be served so");
  app.flag("--fork", fork, "go on in the background, and return when all is ready");
  app.flag("--systemd-mark", systemd_mark,
           "let systemd not end it when it leaves the initramfs and shuts down: the root file "
           "system is on the volume");
  app.option("--pid-file", pid_file, "write the server's process number to this file");
}

void ServeOptions::add_settings_to(Arguments& app) {
  app.option("--nbd", nbd, "listen on unix:PATH or tcp:HOST:PORT (repeatable)").one_value_each();
  // Which part of the volume, and what clients may do with it.
  app.option("--export-name", export_name, "the NBD export's name (default: empty)");
  app.flag("--read-only", read_only, "write nothing at all: neither for clients nor to open it");
  app.flag("--without-journal", without_journal,
           "with --read-only: leave out the recovery journal of a volume that was not shut down or "
           "is read-only");
  // How the volume works, and what it takes of the machine.
  app.option("--compression", compression, "on or off").show_default();
  app.option("--deduplication", deduplication, "on or off").show_default();
  app.option("--write-through", write_through,
             "on or off: whether writes are answered only when they are stable, flushed or not")
      .show_default();
  app.option("--cache", cache, "memory for the block map: 16M to 1T").show_default();
  app.option("--era-length", era_length,
             "journal blocks that a changed page of the block map waits: 1 to 16380")
      .show_default();
  app.option("--buffers", buffers, "memory for data in flight: 4M to 64G").show_default();
  // What clients may ask for, and how many may.
  app.option("--minimum-io", minimum_io, "smallest request of clients: 1, 512 or 4096 bytes")
      .show_default();
  app.option("--max-requests", max_requests, "requests of all clients in flight: 1 to 2048")
      .show_default();
  app.option("--max-clients", max_clients, "clients at once: 1 to 1024").show_default();
  app.option("--threads", threads, "1, 2, or auto: 2 where there are processors for them")
      .show_default();
  app.option(
         "--attach", attach,
         "make a block device of this machine: ublk, nbd, fuse, file or auto, and behind it what "
         "is other of it: ,name=NAME ,offset=SIZE ,size=SIZE ,read-only (repeatable)")
      .one_value_each();
  app.flag("--ublk", ublk, "the same as --attach ublk");
  app.option("--fuse", fuse, "make a file with the volume's contents in this empty folder");
  app.option("--device-name", device_name, "the name of that device in /dev/uvdo");
  app.option("--mapper-name", mapper_name, "its name in /dev/mapper besides, if that is free");
  app.flag("--lock-memory", lock_memory, "keep all memory from being paged out");
  // What is there beside the clients: control socket, account, metrics, watermarks.
  app.option("--control", control, "path of the control socket");
  app.option("--user", user, "go on as this user, without the rights of root, once all is open");
  app.option("--metrics", metrics, "give metrics on unix:PATH or tcp:127.0.0.1:PORT to Prometheus");
  app.option("--web", web, "give a status page to browsers on 127.0.0.1:PORT or unix:PATH");
  app.flag("--web-remote", web_remote, "let --web listen where other machines reach it");
  app.option("--watermarks", watermarks, "percents of the room for data of which the log tells")
      .show_default();
  app.option("--watermark-command", watermark_command,
             "shell command that is run when one is passed");
  app.option("--hook-timeout", hook_timeout, "seconds after which that is killed: 1 to 86400")
      .show_default();
  // Who may connect, and where the log goes.
  app.option("--socket-mode", socket_mode, "mode of unix sockets for clients, such as 0660")
      .show_default();
  app.option("--socket-group", socket_group, "group of unix sockets for clients");
  app.option("--log-file", log_file,
             "append the log to this file; SIGHUP opens it anew; journal: to systemd's journal");
  app.option("--no-space-timeout", no_space_timeout,
             "seconds that writes are held back while the file system beneath is full: 0 to 86400")
      .show_default();
  app.option("--keep-writes", keep_writes,
             "on or off: whether writes that were answered outlive the server's death")
      .show_default();
  app.option("--discard", discard,
             "auto, on or off: whether what becomes free is discarded beneath; auto: in sparse "
             "files and on thin disks")
      .show_default();
  app.option("--log-level", log_level, "error, warning, notice, info or debug").show_default();
  app.option("--log-format", log_format, "auto, plain, journal or json").show_default();
  // TLS; what goes with what is TlsSettings::check()'s.
  app.option("--tls-cert", tls.certificate, "PEM file of the server's certificate");
  app.option("--tls-key", tls.key, "PEM file of its private key");
  app.option("--tls-ca", tls.authority, "PEM file: only clients with its certificates are let in");
  app.option("--tls-psk", tls.psk, "file of pre-shared keys, NAME:HEXKEY a line");
  app.option("--tls-crl", tls.revoked, "PEM file: certificates of it that no longer count");
  app.option("--tls-allow", tls.allowed, "only these clients: names of keys, or in certificates");
  app.flag("--tls-required", tls.required, "refuse clients that don't use TLS");
  app.flag("--tls-optional", tls.optional,
           "let clients without TLS in, although --tls-ca or --tls-psk is given");
}

Result<void> ServeOptions::check() {
  auto done = check_switches();
  if (done) done = check_numbers();
  if (done) done = check_access();
  if (done) done = check_memory_of_options(*this);
  if (done) done = check_threads();
  if (done) done = check_window_sizes();
  if (done) done = check_account();
  if (done) done = check_log();
  if (done) done = check_devices();
  if (done) done = check_doors();
  if (done) done = tls.check();
  return done;
}

Result<void> ServeOptions::check_switches() {
  const auto compress = parse_switch("--compression", compression);
  if (!compress) return compress.error().clone();
  volume_options.compression = *compress;
  const auto deduplicate = parse_switch("--deduplication", deduplication);
  if (!deduplicate) return deduplicate.error().clone();
  volume_options.deduplication = *deduplicate;
  const auto through = parse_switch("--write-through", write_through);
  if (!through) return through.error().clone();
  writes_through = *through;
  const auto keep = parse_switch("--keep-writes", keep_writes);
  if (!keep) return keep.error().clone();
  keeps_writes = *keep;
  if (discard == "auto") return {};
  const auto discarding = parse_switch("--discard", discard);
  if (!discarding) {
    return Error(Errc::invalid_argument, "--discard is auto, on or off, not \"" + discard + "\"");
  }
  discards = *discarding;
  return {};
}

Result<void> ServeOptions::check_numbers() {
  Result<void> wrong;
  const auto number = [&](std::string_view name, const std::string& text,
                          const ParameterLimits& limits) -> std::uint64_t {
    auto value = parse_parameter(name, text, limits);
    if (value) return *value;
    // Of several wrong numbers the first is told.
    if (wrong) wrong = std::move(value).error();
    return limits.least;
  };
  volume_options.block_map_cache_pages =
      static_cast<std::uint32_t>(number("--cache", cache, kCache) / kBlockSize);
  volume_options.block_map_maximum_age =
      static_cast<std::uint32_t>(number("--era-length", era_length, kEraLength));
  volume_options.buffer_bytes = number("--buffers", buffers, kBuffers);
  requests = static_cast<std::uint32_t>(number("--max-requests", max_requests, kMaxRequests));
  clients = number("--max-clients", max_clients, kMaxClients);
  hook_limit = std::chrono::seconds(number("--hook-timeout", hook_timeout, kHookTimeout));
  volume_options.no_space_timeout =
      std::chrono::seconds(number("--no-space-timeout", no_space_timeout, kNoSpaceTimeout));
  return wrong;
}

Result<void> ServeOptions::check_access() {
  if (minimum_io != "1" && minimum_io != "512" && minimum_io != "4096") {
    return Error(Errc::invalid_argument,
                 fmt::format("--minimum-io is \"{}\"; it takes 1, 512 or 4096: blocks have 4096 "
                             "bytes, sectors 512, and requests of any bytes are served too",
                             minimum_io));
  }
  if (without_journal && !read_only) {
    return Error(Errc::invalid_argument,
                 "--without-journal is for --read-only: what is written must rest on the journal");
  }
  if (read_only) {
    volume_options.access =
        without_journal ? VolumeAccess::read_only_without_journal : VolumeAccess::read_only;
  }
  minimum_block = minimum_io == "1" ? 1 : minimum_io == "512" ? 512 : 4096;
  // The statistics know the two sizes of the kernel alone: anything below a block is 512.
  logical_block_size = minimum_block == kBlockSize ? 4096 : 512;
  return {};
}

Result<void> ServeOptions::check_threads() {
  if (threads != "auto" && threads != "1" && threads != "2") {
    return Error(Errc::invalid_argument,
                 fmt::format("--threads is \"{}\"; it takes 1, 2 or auto: one thread has the "
                             "metadata, and a second one names and compresses blocks and has the "
                             "index",
                             threads));
  }
  second_thread = threads == "2" || (threads == "auto" && WorkThread::is_worthwhile());
  return {};
}

Result<void> ServeOptions::check_window_sizes() {
  if (!offset.empty()) {
    auto bytes = parse_size(offset);
    if (!bytes) return bytes.error().within("--offset");
    window.offset = *bytes;
  }
  if (!size.empty()) {
    auto bytes = parse_size(size);
    if (!bytes) return bytes.error().within("--size");
    window.size = *bytes;
  }
  return {};
}

Result<void> ServeOptions::check_account() {
  if (!user.empty()) {
    auto found = Account::find(user);
    if (!found) return found.error().within("--user");
    doors.account = std::move(*found);
  }
  return {};
}

Result<void> ServeOptions::check_log() {
  auto parsed_level = parse_log_level(log_level);
  if (!parsed_level) return parsed_level.error().within("--log-level");
  level = *parsed_level;
  // A file is not the journal, whatever standard output is.
  const bool is_journal = log_format == "auto" && log_file == kJournal;
  auto parsed_format = Log::parse_format(is_journal ? std::string(kJournal) : log_format,
                                         log_file.empty() ? STDOUT_FILENO : -1);
  if (!parsed_format) return parsed_format.error().within("--log-format");
  format = *parsed_format;
  auto parsed_marks = parse_watermarks(watermarks);
  if (!parsed_marks) return parsed_marks.error().within("--watermarks");
  marks = std::move(*parsed_marks);
  return {};
}

Result<void> ServeOptions::check_devices() {
  const auto add = [this](std::optional<DeviceKind> kind, const std::string& at) {
    AttachRequest device;
    device.kind = kind;
    device.at = at;
    if (devices.empty()) {
      device.name = device_name;
      device.mapper_name = mapper_name;
    }
    device.read_only = read_only;
    device.offset = window.offset;
    device.size = window.size;
    device.block_size = logical_block_size;
    devices.push_back(std::move(device));
  };
  for (const std::string& text : attach) {
    add(std::nullopt, "");
    if (auto read = read_attached(text, devices.back()); !read) return read;
  }
  if (ublk) add(DeviceKind::ublk, "");
  if (!fuse.empty()) {
    add(DeviceKind::file, fuse);
    devices.back().name = device_name_of(volume) + "-file";  // so that it has a device beside it
  }
  if (fork && log_file.empty()) {
    return Error(Errc::invalid_argument,
                 "a server in the background has no terminal to log to: give --log-file PATH too");
  }
  return {};
}

Result<void> ServeOptions::check_web() {
  if (web.empty()) {
    if (!web_remote) return {};
    return Error(Errc::invalid_argument, "--web-remote says who may reach --web: give that too");
  }
  // As one types it into a browser.
  const bool is_plain = !web.starts_with("unix:") && !web.starts_with("tcp:");
  auto address = SocketAddress::parse(is_plain ? "tcp:" + web : web);
  if (!address) return address.error().within("--web");
  if (address->kind == SocketAddress::Kind::tcp &&
      !web.ends_with(fmt::format(":{}", address->port))) {
    return Error(Errc::invalid_argument,
                 fmt::format("--web: \"{}\" has no port: write {}:8080, or {}:0 for one that is "
                             "free, which the log and uvdo status --json tell",
                             web, web, web));
  }
  if (!web_remote) {
    auto allowed = HttpServer::check_address(*address, "the status page is");
    if (!allowed) {
      return Error(Errc::invalid_argument, fmt::format("--web: {}; --web-remote allows that",
                                                       std::move(allowed).error().message()));
    }
  }
  doors.web_is_remote = web_remote;
  doors.web.push_back(std::move(*address));
  return {};
}

Result<void> ServeOptions::check_doors() {
  doors.volume = volume;
  doors.control = control;
  for (const std::string& text : nbd) {
    auto address = SocketAddress::parse(text);
    if (!address) return std::move(address).error();
    doors.nbd.push_back(std::move(*address));
  }
  if (!metrics.empty()) {
    auto address = SocketAddress::parse(metrics);
    if (!address) return address.error().within("--metrics");
    auto allowed = HttpServer::check_address(*address, "metrics are");
    if (!allowed) return allowed.error().within("--metrics");
    doors.metrics.push_back(std::move(*address));
  }
  if (auto checked = check_web(); !checked) return checked;
  auto parsed_access = SocketAccess::parse(socket_mode, socket_group);
  if (!parsed_access) return std::move(parsed_access).error();
  doors.access = *parsed_access;
  return {};
}

Result<void> ServeOptions::check_place() {
  auto taken = ServiceManager::take_sockets();
  if (!taken) return std::move(taken).error();
  doors.inherited = std::move(*taken);
  if (doors.nbd.empty() && doors.inherited.empty() && devices.empty() && !until_detached &&
      !takes_over) {
    return Error(Errc::invalid_argument,
                 "say where to serve: --nbd unix:PATH, --nbd tcp:HOST:PORT or --attach auto");
  }
  return {};
}

}  // namespace uvdo
