// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_device.h"

#include <cerrno>

#include <fmt/core.h>

#include "base/size_text.h"

namespace uvdo {
namespace {

/// A start waits for reads of the partition table, a takeover for nothing but the driver.
constexpr Duration kStartLimit = std::chrono::seconds(60);
/// udev makes a device's node, and gives it its owner, a moment after the driver has made it.
constexpr Duration kNodeLimit = std::chrono::seconds(5);
constexpr Duration kNodeInterval = std::chrono::milliseconds(20);
/// Whoever has the device open when it ends keeps its number in use.
constexpr Duration kRemoveLimit = std::chrono::seconds(2);
/// The driver wants one idle slot of each queue, which there nearly always is.
constexpr Duration kQuiesceLimit = std::chrono::seconds(2);

/// Kernels before 6.15 notice only when a request takes longer that a server has died that had all
/// requests of a queue.
constexpr auto kRequestTimeout = std::chrono::seconds(2);
/// Clients whose requests are not answered soon send no more.
constexpr Duration kQuiet = std::chrono::milliseconds(20);
constexpr int kQuietTries = 25;

constexpr std::uint32_t kMaxIo = 1U << 20U;
constexpr std::uint32_t kMaxIoOfDriver = 128U << 10U;

/// Whether the driver copies the data of such a device, and not the server.
bool driver_copies(const UblkDevice::Settings& settings) {
  return settings.driver_copies || settings.is_unprivileged;
}

bool outlives_server(const ublk::DeviceInfo& device) {
  return (device.flags & ublk::kUserRecoveryReissue) != 0;
}

std::uint32_t max_io_of(const UblkDevice::Settings& settings) {
  return settings.max_io_bytes.value_or(driver_copies(settings) ? kMaxIoOfDriver : kMaxIo);
}

/// What the driver is asked for, of what it can do.
ublk::DeviceInfo wanted_device(const UblkDevice::Settings& settings, std::uint64_t features) {
  ublk::DeviceInfo wanted;
  wanted.device = settings.device.value_or(ublk::kAnyDevice);
  wanted.queues = settings.queues;
  wanted.depth = settings.depth;
  wanted.max_io_bytes = max_io_of(settings);
  wanted.server_data = settings.identity;
  wanted.flags = ublk::kIoctlEncode | (features & ublk::kCanUpdateSize);
  if (settings.is_unprivileged) {
    wanted.flags |= ublk::kUnprivilegedDevice;
  } else if (settings.is_recoverable && !settings.driver_copies) {
    wanted.flags |= ublk::kUserRecovery | ublk::kUserRecoveryReissue;
    wanted.flags |= features & ublk::kCanQuiesce;
  }
  if (!driver_copies(settings)) wanted.flags |= features & ublk::kUserCopy;
  return wanted;
}

Result<void> check_settings(const UblkDevice::Settings& settings, std::uint64_t features) {
  if (settings.queues == 0 || settings.queues > ublk::kMaxQueues || settings.depth == 0 ||
      settings.depth > ublk::kMaxDepth ||
      std::uint32_t{settings.queues} * settings.depth > ublk::kMaxDepth) {
    return Error(
        Errc::invalid_argument,
        "a ublk device has from 1 to 4096 requests in flight, in all of its queues together");
  }
  std::uint64_t needed = 0;
  if (settings.is_unprivileged) {
    needed = ublk::kUnprivilegedDevice;
  } else if (settings.is_recoverable && !settings.driver_copies) {
    needed = ublk::kUserRecovery | ublk::kUserRecoveryReissue | ublk::kUserCopy;
  }
  if ((needed & ~features) != 0) {
    return Error(Errc::unsupported,
                 settings.is_unprivileged
                     ? "the kernel's ublk driver makes no devices for users: run as root"
                     : "the kernel's ublk driver makes no devices that outlive their server");
  }
  return {};
}

UblkRequests::Settings serving_settings(const UblkDevice::Settings& settings, bool writes_through) {
  return {writes_through, settings.read_memory, settings.times, settings.log};
}

}  // namespace

UblkDevice::UblkDevice(Executor& executor, UblkDriver& driver, BlockService& service,
                       RequestBudget& budget, Settings settings)
    : executor_(executor),
      driver_(driver),
      control_(executor, driver),
      service_(service),
      budget_(budget),
      settings_(std::move(settings)),
      tasks_(executor),
      alarm_(executor) {}

UblkDevice::~UblkDevice() {
  check(state_ == State::made || state_ == State::ended, "a device is shut down before it goes");
}

std::uint64_t UblkDevice::memory_bound(const Settings& settings) {
  ublk::DeviceInfo device = wanted_device(settings, ublk::kUserCopy);
  return UblkRequests::memory_bound(device, serving_settings(settings, false));
}

std::vector<FrontEndAddress> UblkDevice::addresses() const {
  if (state_ != State::serving) return {};
  return {{ublk_disk_path(info_.device), false}};
}

bool UblkDevice::can_leave() const { return state_ == State::serving && outlives_server(info_); }

UblkAttributes UblkDevice::attributes() const {
  UblkAttributes attributes;
  attributes.size = service_.size();
  attributes.logical_block_size = settings_.logical_block_size;
  attributes.io_optimum = settings_.io_optimum;
  attributes.max_io_bytes = info_.max_io_bytes;
  attributes.is_read_only = service_.is_read_only() && !service_.has_failed();
  attributes.has_volatile_cache = !settings_.writes_through;
  return attributes;
}

// ---- start

Task<Result<void>> UblkDevice::start() {
  check(state_ == State::made, "a device is started once");
  state_ = State::starting;
  Result<void> started;
  if (settings_.takeover) {
    Result<void> taken = co_await take_over();
    started = std::move(taken);
  } else {
    Result<void> made = co_await make_device();
    started = std::move(made);
  }
  state_ = started ? State::serving : State::ended;
  if (started) tasks_.start(watch());
  co_return started;
}

Task<Result<void>> UblkDevice::make_device() {
  auto features = co_await control_.features();
  if (!features) co_return std::move(features).error();
  if (auto right = check_settings(settings_, *features); !right) co_return right;
  const ublk::DeviceInfo wanted = wanted_device(settings_, *features);
  info_.max_io_bytes = wanted.max_io_bytes;
  // Before anything is made: what is wrong with them is said in the words of the settings.
  if (auto parameters = encode_parameters(attributes()); !parameters) {
    co_return std::move(parameters).error();
  }
  auto added = co_await control_.add(wanted);
  if (!added) co_return std::move(added).error();
  info_ = *added;
  Result<void> started = co_await serve_anew();
  if (!started) {
    co_await undo_make();
  } else if (outlives_server(info_)) {
    co_await tell_timeout();
  }
  co_return started;
}

/// The port comes first: who may open it may do the rest, and a user has to wait for that.
Task<Result<void>> UblkDevice::serve_anew() {
  Result<void> opened = co_await open_port();
  if (!opened) co_return opened;
  Result<void> told = co_await control_.set_attributes(info_, attributes());
  if (!told) co_return told;
  requests_->begin(*port_);
  Result<void> started = co_await control_.start(info_, kStartLimit);
  co_return started;
}

Task<void> UblkDevice::undo_make() {
  Result<void> stopped = co_await control_.stop(info_);
  co_await close_port(Close::now);
  Result<void> removed = co_await control_.remove(info_, kRemoveLimit);
  for (const Result<void>* done : {&stopped, &removed}) {
    if (!*done) log(done->error().message());
  }
}

Result<void> UblkDevice::check_takeover(const UblkAttributes& attributes) const {
  const std::string path = ublk_disk_path(info_.device);
  if (info_.state == ublk::kStateDead) {
    return Error(Errc::not_found, fmt::format("{} has ended: make it anew", path));
  }
  if (info_.server_data != settings_.identity || settings_.identity == 0) {
    return Error(Errc::exists, fmt::format("{} is none of this volume", path));
  }
  if ((~info_.flags & (ublk::kUserRecoveryReissue | ublk::kUserCopy)) != 0) {
    return Error(Errc::unsupported,
                 fmt::format("{} ends with its server: detach it, and attach it again", path));
  }
  if (attributes.size > service_.size()) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} has {}, and the volume only {}: it is none of this volume", path,
                             size_text(attributes.size), size_text(service_.size())));
  }
  if (attributes.has_volatile_cache && !settings_.takeover->nothing_is_lost) {
    return Error(
        Errc::io,
        fmt::format("writes to {} that were answered and not flushed are lost with its "
                    "server: detach it, so that whoever uses it learns that, and attach it "
                    "again",
                    path));
  }
  return {};
}

Task<Result<void>> UblkDevice::take_over() {
  const UblkTakeover& takeover = *settings_.takeover;
  auto info = co_await control_.info(takeover.device);
  if (!info) co_return std::move(info).error();
  info_ = *info;
  auto told = co_await control_.attributes(info_);
  if (!told) co_return std::move(told).error();
  if (auto right = check_takeover(*told); !right) co_return right;
  settings_.writes_through = !told->has_volatile_cache;
  Result<void> taken = co_await control_.start_recovery(info_, takeover.patience);
  if (!taken) co_return taken;
  Result<void> served = co_await open_port();
  if (served) {
    requests_->begin(*port_);
    Result<void> ended = co_await control_.end_recovery(info_, kStartLimit);
    served = std::move(ended);
  }
  if (!served) {
    // It waits for another server. Whether requests come already is not known.
    co_await close_port(Close::with_process);
    co_return served;
  }
  if (told->size != service_.size()) tasks_.start(tell_size());
  co_return served;
}

Task<Result<void>> UblkDevice::open_port() {
  requests_ = std::make_unique<UblkRequests>(executor_, service_, budget_, info_,
                                             serving_settings(settings_, settings_.writes_through));
  const TimePoint end = executor_.now() + kNodeLimit;
  Alarm pause(executor_);
  for (;;) {
    auto port = driver_.open(info_, requests_->owner());
    if (port) {
      port_ = std::move(*port);
      co_return Result<void>();
    }
    if (port.error().code() == Errc::busy || executor_.now() >= end) {
      co_return std::move(port).error();
    }
    co_await pause.sleep(kNodeInterval);
  }
}

/// What the driver has sent, and nobody has begun, is left to it.
Task<void> UblkDevice::close_port(Close when) {
  if (port_ != nullptr) {
    co_await requests_->leave();
    co_await requests_->end();
    co_await tasks_.wait();
    switch (when) {
      case Close::now: co_await port_->close(); break;
      case Close::with_process: co_await port_->keep_until_exit(); break;
    }
  }
  port_.reset();
  requests_.reset();
}

// ---- in use

/// Notices that somebody else has stopped the device.
Task<void> UblkDevice::watch() {
  while (state_ == State::serving && !requests_->are_all_retired()) co_await requests_->changed();
  if (state_ != State::serving) co_return;
  log(fmt::format("{} was stopped by somebody else", ublk_disk_path(info_.device)));
  if (settings_.on_lost) settings_.on_lost();
}

void UblkDevice::size_changed() {
  if (state_ == State::serving) tasks_.start(tell_size());
}

Task<void> UblkDevice::tell_size() {
  const Result<void> told = co_await control_.update_size(info_, service_.size());
  if (!told) log(told.error().message());
}

/// A server that lives may take any time for a request. The kernel waits here for requests under
/// way, also where the server is killed meanwhile, so that it is done before anybody uses the
/// device.
Task<void> UblkDevice::tell_timeout() {
  const int told = co_await driver_.set_request_timeout(info_.device, kRequestTimeout);
  if (told < 0) {
    log(errno_error(-told, fmt::format("setting how soon the kernel notices that the server of {} "
                                       "was killed",
                                       ublk_disk_path(info_.device)))
            .message());
  }
}

// ---- end

Task<void> UblkDevice::wait_for_progress(const bool& is_over) {
  std::uint64_t answered = requests_->answered();
  TimePoint end = executor_.now() + settings_.drain_limit;
  while (!is_over && executor_.now() < end) {
    co_await alarm_.sleep(end - executor_.now());
    if (requests_->answered() == answered) continue;
    answered = requests_->answered();
    end = executor_.now() + settings_.drain_limit;
  }
}

Task<void> UblkDevice::write_out(bool& is_over) {
  const int written = co_await driver_.write_out(info_.device);
  is_over = true;
  alarm_.ring();
  // Without a node there is nobody who has it open, nor if it was stopped by somebody else.
  if (written < 0 && written != -ENOENT && written != -ENXIO && written != -ENODEV) {
    log(errno_error(-written, fmt::format("what was not flushed of {} could not be written",
                                          ublk_disk_path(info_.device)))
            .message());
  }
}

Task<void> UblkDevice::stop(bool& is_over) {
  const Result<void> stopped = co_await control_.stop(info_);
  is_over = true;
  alarm_.ring();
  if (!stopped) log(stopped.error().message());
}

Task<void> UblkDevice::shutdown() {
  if (state_ != State::serving) {
    if (state_ == State::made) state_ = State::ended;
    co_return;
  }
  state_ = State::ending;
  bool is_written = false;
  tasks_.start(write_out(is_written));
  co_await wait_for_progress(is_written);
  bool is_stopped = false;
  tasks_.start(stop(is_stopped));
  co_await wait_for_progress(is_stopped);
  // The driver waits for answers to all that it has sent, and the volume finishes what it has
  // begun.
  requests_->refuse();
  while (!is_stopped) co_await alarm_.sleep(settings_.drain_limit);
  co_await close_port(Close::now);
  const Result<void> removed = co_await control_.remove(info_, kRemoveLimit);
  if (!removed) log(removed.error().message());
  state_ = State::ended;
}

/// Kernels before 6.15 may crash when a process ends to which requests are just being sent.
Task<void> UblkDevice::wait_until_quiet() {
  Alarm pause(executor_);
  for (int i = 0; i < kQuietTries; ++i) {
    const std::uint64_t come = requests_->come();
    co_await pause.sleep(kQuiet);
    if (requests_->come() == come) co_return;
  }
}

Task<Result<void>> UblkDevice::leave() {
  if (!can_leave()) {
    co_return Error(Errc::unsupported, "only a device in use that outlives its server can be left");
  }
  state_ = State::ending;
  Close when = Close::with_process;
  if ((info_.flags & ublk::kCanQuiesce) != 0) {
    const Result<void> quiesced = co_await control_.quiesce(info_, kQuiesceLimit);
    if (quiesced) {
      when = Close::now;
    } else {
      log(quiesced.error().message());
    }
  }
  co_await requests_->leave();
  Result<void> stable;
  if (!service_.is_read_only()) {
    Result<void> flushed = co_await service_.flush();
    stable = std::move(flushed);
  }
  if (when == Close::with_process) co_await wait_until_quiet();
  co_await close_port(when);
  state_ = State::ended;
  co_return stable;
}

}  // namespace uvdo
