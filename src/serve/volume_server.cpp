// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/volume_server.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "async/blocking_call.h"
#include "base/size_text.h"
#include "control/error_json.h"
#include "control/suspension_control.h"
#include "device/device_users.h"
#include "watch/metrics_text.h"
#include "watch/process_memory.h"

namespace uvdo {
namespace {

/// The volume's path without links and "..": what it is called where nobody knows our folder.
std::string real_path_of(const std::string& volume) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(volume, error);
  return error ? volume : path.string();
}

/// In a thread: there may be many processes to look at, and a loop device on a file of this very
/// server is asked about its file.
Task<std::vector<std::string>> users_in_thread(UringLoop& loop, std::string path) {
  using Users = Result<std::vector<std::string>>;
  const auto look = [&path]() -> Users {
    const auto id = StorageId::at(path);
    return id ? DeviceUsers().of(*id) : std::vector<std::string>();
  };
  Users found = co_await call_blocking(loop, Descriptors::own, look);
  if (found) co_return std::move(*found);
  std::vector<std::string> unknown{"in use or not, which cannot be found out: "};
  unknown.front() += found.error().message();
  co_return unknown;
}

}  // namespace

VolumeServer::VolumeServer(UringLoop& loop, BackingStore& device, Volume& volume, Settings settings,
                           Log& log)
    : loop_(loop),
      device_(device),
      volume_(volume),
      settings_(std::move(settings)),
      log_(log),
      requests_(loop, settings_.requests),
      write_through_(volume, settings_.write_through),
      view_(write_through_, settings_.window, settings_.read_only),
      told_size_(view_.service().size()),
      are_restored_(loop),
      disk_(loop, device, log_function()),
      monitor_(loop, volume, times_, monitor_settings(), log_function()),
      control_(loop, volume, server_control()),
      control_server_(
          loop, [this](ControlRequest request) { return carry_out(std::move(request)); },
          [this](std::string command) { return take_back(std::move(command)); }, &reserve_),
      metrics_server_(loop, metrics_site()),
      watching_(loop) {}

HttpSite VolumeServer::metrics_site() {
  const auto make = [real_path = real_path_of(settings_.volume),
                     this](const HttpRequest&) -> Task<std::string> {
    co_return metrics_text({real_path, to_text(volume_.geometry().uuid), settings_.version,
                            monitor_.statistics(), monitor_.activity()});
  };
  HttpSite site;
  site.hosts = HttpSite::Hosts::own_but_unix;
  site.documents.push_back({"/metrics", "text/plain; version=0.0.4; charset=utf-8", make});
  return site;
}

StatusPage::Sources VolumeServer::page_sources() {
  StatusPage::Sources sources;
  sources.look = [this] {
    Snapshot now{monitor_.statistics(), monitor_.activity()};
    now.statistics.logical_block_size = settings_.logical_block_size;
    return now;
  };
  sources.describe = [this] { return describe(); };
  return sources;
}

Task<Json> VolumeServer::describe() {
  // Counted in the background; who looks asks again soon.
  co_await volume_.count_savings(Duration{0});
  Json json = {{"volume", settings_.volume},
               {"uuid", to_text(volume_.geometry().uuid)},
               {"version", settings_.version},
               {"memoryBytes", settings_.memory_bytes}};
  for (const std::string_view command : {StatusRequest::kCommand, DevicesRequest::kCommand}) {
    ControlRequest request;
    request.command = command;
    auto asking = control_.handle(std::move(request));
    auto answer = co_await std::move(asking);
    json[std::string(command)] = answer ? std::move(*answer) : error_json(answer.error());
  }
  co_return json;
}

LogFunction VolumeServer::log_function() {
  return [&log = log_](const LogLine& line) { log.write(line); };
}

VolumeMonitor::Settings VolumeServer::monitor_settings() {
  VolumeMonitor::Settings watching;
  watching.volume = settings_.volume;
  watching.marks = settings_.marks;
  watching.hook = settings_.hook;
  watching.device = [this] { return device_.activity(); };
  watching.look_beneath = [this] {
    show_life();
    look_beneath();
  };
  watching.backing = [this] { return disk_.backing(); };
  watching.clients = [this] { return clients(); };
  return watching;
}

ServerControl VolumeServer::server_control() {
  ServerControl server;
  server.volume = settings_.volume;
  server.stop = [this] {
    devices_end_ = Attachments::End::for_good;  // who asks for it wants no server to follow
    settings_.stop();
  };
  server.version = settings_.version;
  server.upgrade_problem = settings_.upgrade.problem;
  server.upgrade = [this](std::string program) { return upgrade(std::move(program)); };
  server.log = &log_;
  server.monitor = &monitor_;
  server.web = [this] { return page_ ? page_->urls() : std::vector<std::string>(); };
  server.disk = &disk_;
  server.write_through = &write_through_;
  server.storages = [this] { return device_.storages(); };
  server.logical_block_size = settings_.logical_block_size;
  server.attach = [this](AttachRequest request) { return attach(std::move(request)); };
  server.detach = [this](DetachRequest request) { return detach(std::move(request)); };
  server.devices = [this] { return devices(); };
  server.device_users = [this] { return devices_->users(); };
  return server;
}

DeviceSurroundings VolumeServer::surroundings() {
  return {loop_,
          requests_,
          times_,
          device_folder_of(control_path_),
          to_text(volume_.geometry().uuid),
          settings_.may_miss_writes,
          log_function(),
          settings_.kept};
}

Attachments::Settings VolumeServer::device_settings() {
  Attachments::Settings devices;
  devices.volume = settings_.volume;
  devices.volume_id = to_text(volume_.geometry().uuid);
  devices.state_file = device_state_of(control_path_);
  devices.udev_folder = "/run/uvdo/links";
  devices.read_only = settings_.read_only;
  devices.users_of = [&loop = loop_](std::string path) {
    return users_in_thread(loop, std::move(path));
  };
  devices.make = settings_.make_device;
  if (!devices.make) {
    devices.make = [surroundings = surroundings()](const Attachments::Order& order) {
      return make_device_front_end(surroundings, order);
    };
  }
  return devices;
}

std::size_t VolumeServer::clients() const {
  std::size_t sum = 0;
  for (const auto& front_end : front_ends_) sum += front_end->clients();
  if (devices_) sum += devices_->clients();
  return sum;
}

Task<Result<void>> VolumeServer::start(Doors doors) {
  control_path_ = std::move(doors.control_path);
  control_link_ = std::move(doors.control_link);
  devices_.emplace(loop_, write_through_, device_settings(), log_function());
  // The control socket before all else: whoever wants to know what takes so long, or to stop it,
  // gets an answer from here on.
  control_server_.start(std::move(doors.control));
  Result<void> started;
  if (settings_.lock_memory) started = lock_memory(settings_.memory_bytes);
  if (started) {
    metrics_server_.start(std::move(doors.metrics));
    if (!doors.web.empty()) {
      page_.emplace(loop_, page_sources(), std::move(doors.web_names));
      page_->start(std::move(doors.web));
    }
    Result<void> serving = co_await start_front_ends();
    started = std::move(serving);
  }
  if (started) {
    Result<void> made = co_await start_devices();
    started = std::move(made);
  }
  are_restored_.set();
  if (!started) {
    co_await stop_watchers();
    co_await devices_->stop(Attachments::End::wait);
    co_await stop_front_ends();
    control_.stopped(started);  // who has asked for a stop meanwhile waits for that
    co_await control_server_.shutdown();
    co_return started;
  }
  if (const auto period = ServiceManager::watchdog_period()) life_period_ = *period / 4;
  watching_.start(monitor_.run());
  announce();
  co_return started;
}

Task<Result<void>> VolumeServer::stop(const std::string& why) {
  manager_.notify_stopping();
  log_.write(why.empty() ? "stopping" : "stopping, because of " + why);
  // Requests of clients are held while it is suspended: it has to end before they can be waited
  // for.
  auto resumed = co_await volume_.end_suspension();
  if (devices_end_ == Attachments::End::wait) {
    const LastUsers last(loop_, settings_.last_users, log_function());
    auto waiting = last.wait([this] { return devices_->paths(); });
    co_await std::move(waiting);
  }
  monitor_.stop();
  co_await watching_.wait();
  co_await stop_watchers();
  // Clients first, so that nothing changes while the volume is saved; the control socket last, as
  // it tells how that ended.
  co_await devices_->stop(devices_end_);
  co_await stop_front_ends();
  auto stopped = co_await volume_.stop();
  // The first error counts.
  if (!resumed) stopped = std::move(resumed);
  if (stopped) stopped = disk_.is_saved();
  // Whoever asked for the stop is told how it ended.
  control_.stopped(stopped);
  co_await control_server_.shutdown();
  if (stopped && !volume_.is_opened_for_reading()) log_.write("saved");
  co_return stopped;
}

Task<void> VolumeServer::stop_watchers() {
  co_await metrics_server_.shutdown();
  if (page_) co_await page_->shutdown();
}

Task<Result<void>> VolumeServer::start_front_ends() {
  while (started_ < front_ends_.size()) {
    auto started = co_await front_ends_[started_]->start();
    if (!started) co_return started;
    ++started_;
  }
  co_return Result<void>();
}

Task<void> VolumeServer::stop_front_ends() {
  while (started_ > 0) co_await front_ends_[--started_]->shutdown();
}

Task<Result<void>> VolumeServer::start_devices() {
  co_await devices_->restore();
  const DeviceSurroundings all = surroundings();
  co_await end_unclaimed_mounts(all);
  are_restored_.set();
  for (const AttachRequest& wanted : settings_.devices) {
    auto made = co_await devices_->attach(wanted);
    if (!made) co_return std::move(made).error();
  }
  co_return Result<void>();
}

void VolumeServer::announce() const {
  const std::string status =
      fmt::format("{} of {} logical size", settings_.volume, size_text(view_.service().size()));
  log_.write(fmt::format("serving {}", status));
  for (const auto& front_end : front_ends_) {
    for (const FrontEndAddress& address : front_end->addresses()) {
      log_.write(fmt::format("  {} on {}", front_end->kind(), address.name));
    }
  }
  for (const std::string& address : metrics_server_.addresses()) {
    log_.write(fmt::format("  metrics on {}", address));
  }
  if (page_) {
    for (const std::string& url : page_->urls())
      log_.write(fmt::format("  status page on {}", url));
  }
  warn_of_strangers();
  log_.write(fmt::format("  up to {} of memory", size_text(settings_.memory_bytes)));
  manager_.notify_ready(status);
}

void VolumeServer::warn_of_strangers() const {
  if (page_ && page_->is_remote()) {
    log_.write(
        {LogLevel::warning,
         fmt::format("whoever reaches {} sees the volume's name, figures and clients, and so "
                     "does who listens on the way",
                     fmt::join(page_->urls(), ", "))});
  }
  std::vector<std::string> open;
  for (const auto& front_end : front_ends_) {
    for (FrontEndAddress& address : front_end->addresses()) {
      if (address.is_open_to_strangers) open.push_back(std::move(address.name));
    }
  }
  if (open.empty()) return;
  log_.write({LogLevel::warning,
              fmt::format("whoever reaches {} may {} the volume: with --tls-psk or --tls-ca only "
                          "those may whom you know",
                          fmt::join(open, ", "), settings_.read_only ? "read" : "read and write")});
}

Task<Result<Json>> VolumeServer::carry_out(ControlRequest request) {
  auto answer = co_await control_.handle(std::move(request));
  // After any command: it may have suspended, resumed or grown the volume.
  keep_link();
  tell_of_growth();
  co_return answer;
}

Task<void> VolumeServer::take_back(std::string command) {
  if (command != SuspendRequest::kCommand) co_return;
  co_await take_back_suspension(volume_, log_function());
  keep_link();
}

Task<Result<void>> VolumeServer::upgrade(std::string program) {
  if (!settings_.upgrade.become) {
    co_return Error(Errc::unsupported,
                    "a server that has given up the rights of root (--user) cannot be followed by "
                    "another program: stop it, and start it anew");
  }
  auto next = NextServer::same_process;
  std::string which = devices_->those_that_cannot_wait(next);
  if (!which.empty() && settings_.upgrade.may_move) {
    next = NextServer::another_process;
    which = devices_->those_that_cannot_wait(next);
  }
  if (!which.empty()) {
    co_return Error(Errc::busy, fmt::format("{} cannot wait for another program: detach it first, "
                                            "or stop the server and start it anew",
                                            which));
  }
  const auto check = [&] { return settings_.upgrade.check(program); };
  Result<void> able = co_await call_blocking(loop_, Descriptors::own, check);
  if (!able) co_return able;
  log_.write(fmt::format("{} is to go on", program));
  devices_end_ = Attachments::End::all_wait;
  settings_.upgrade.become(program, next);
  co_return Result<void>();
}

/// One that is still to be taken over is not made a second time.
Task<Result<AttachedDevice>> VolumeServer::attach(AttachRequest request) {
  co_await are_restored_.wait();
  auto attaching = devices_->attach(std::move(request));
  co_return co_await std::move(attaching);
}

Task<Result<DetachAnswer>> VolumeServer::detach(DetachRequest request) {
  co_await are_restored_.wait();
  auto detached = co_await devices_->detach(std::move(request.device), request.mode);
  if (!detached) co_return std::move(detached).error();
  co_return DetachAnswer{*detached, end_with_devices()};
}

bool VolumeServer::end_with_devices() {
  if (!settings_.ends_with_devices || !devices_->is_empty()) return false;
  settings_.stop();
  return true;
}

Task<void> VolumeServer::end_unused_devices() {
  co_await devices_->end_unused();
  end_with_devices();
}

DevicesAnswer VolumeServer::devices() const {
  DevicesAnswer answer;
  answer.devices = devices_->list();
  for (const auto& front_end : front_ends_) {
    for (const FrontEndAddress& address : front_end->addresses()) {
      answer.front_ends.push_back({std::string(front_end->kind()), address.name});
    }
    const std::size_t room = DevicesAnswer::kMostConnections - answer.connections.size();
    for (FrontEndClient& client : front_end->list_clients(room)) {
      const auto connected =
          std::chrono::duration_cast<std::chrono::milliseconds>(client.connected).count();
      answer.connections.push_back({std::string(front_end->kind()), std::move(client.origin),
                                    client.is_encrypted, static_cast<std::uint64_t>(connected),
                                    client.asked.requests, client.asked.read_bytes,
                                    client.asked.written_bytes});
    }
  }
  answer.clients = clients();
  return answer;
}

void VolumeServer::show_life() {
  if (!life_period_ || loop_.now() < next_life_) return;
  next_life_ = loop_.now() + *life_period_;
  manager_.notify_alive();
}

void VolumeServer::look_beneath() {
  auto whole = disk_.look(volume_end(volume_.geometry(), volume_.super_block()));
  if (!whole) {
    // The file was cut off, or is another server's: the volume goes read-only, as nothing on it can
    // be relied on any more.
    volume_.fail(whole.error());
    // There is nothing left to be served here; clients that connect anew may find the other one.
    if (whole.error().code() == Errc::read_only) settings_.stop();
  }
  if (devices_->has_leaving()) watching_.start(end_unused_devices());
  keep_link();
}

void VolumeServer::keep_link() {
  if (!settings_.may_link) return;
  // Also when another file has taken the place of the first.
  const auto usual = control_paths_of(settings_.volume);
  const bool is_found = usual && std::ranges::find(*usual, control_path_) != usual->end();
  control_link_->keep(volume_.is_suspended() || !is_found);
}

void VolumeServer::tell_of_growth() {
  devices_->size_changed();
  if (view_.service().size() == told_size_) return;
  told_size_ = view_.service().size();
  for (const auto& front_end : front_ends_) front_end->size_changed();
}

}  // namespace uvdo
