// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/attachments.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size_text.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 64;

constexpr std::string_view kMarks = ".-_+";

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// What a name that may lie in a folder begins with.
bool is_first(char c) { return is_plain(c) || c == '_' || c == '+'; }

/// Gives its turn back at the end.
class Turn {
 public:
  explicit Turn(Semaphore& turn) : turn_(turn) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { turn_.release(); }

 private:
  Semaphore& turn_;
};

/// Whether the device that is there is what was asked for.
bool is_as_wanted(const AttachedDevice& device, const AttachedDevice& wanted) {
  return device.kind == wanted.kind && device.read_only == wanted.read_only &&
         device.offset == wanted.offset && device.size == wanted.size &&
         device.block_size == wanted.block_size;
}

}  // namespace

std::string device_name_of(const std::string& path) {
  std::string name = fs::path(path).stem();
  for (char& c : name) {
    if (!is_plain(c) && kMarks.find(c) == std::string_view::npos) c = '-';
  }
  const std::size_t begin = name.find_first_not_of(".-_");
  name = begin == std::string::npos ? "volume" : name.substr(begin, kLongestName);
  return name;
}

Result<void> check_device_name(const std::string& name) {
  const bool is_right = !name.empty() && name.size() <= kLongestName && is_first(name.front()) &&
                        std::ranges::all_of(name, [](char c) {
                          return is_plain(c) || kMarks.find(c) != std::string_view::npos;
                        });
  if (is_right) return {};
  return Error(Errc::invalid_argument,
               fmt::format("\"{}\" is no name of a device: it has 1 to {} letters, digits, \".\", "
                           "\"-\", \"_\" or \"+\", and does not begin with \".\" or \"-\"",
                           name, kLongestName));
}

Attachments::Attachment::Attachment(BlockService& service, AttachedDevice what)
    : device(std::move(what)),
      view(service,
           device.offset == 0 && !device.size
               ? std::nullopt
               : std::optional(ServiceWindow{device.offset, device.size}),
           device.read_only),
      told_size(view.service().size()) {}

Task<void> Attachments::restore() {
  auto kept = state_.load();
  if (!kept) {
    log_({LogLevel::warning, fmt::format("devices of a server before this one are not taken over: "
                                         "{}",
                                         kept.error().message())});
    co_return;
  }
  for (AttachedDevice& device : *kept) {
    const std::string name = device.name;
    const std::string path = device.path;
    co_await turn_.acquire();
    const Turn turn(turn_);
    auto made = co_await make(std::move(device), {}, true);
    if (made) continue;
    // The kernel may give its number to somebody else's device.
    if (!path.empty()) udev_names_.forget(path);
    log_({LogLevel::error,
          fmt::format("device {} is not taken over: {}", name, made.error().message())});
  }
  save(list());
}

Task<Result<AttachedDevice>> Attachments::attach(AttachRequest request) {
  co_await turn_.acquire();
  const Turn turn(turn_);
  if (is_stopping_) co_return Error(Errc::cancelled, "the server is stopping");
  AttachedDevice device;
  device.name = request.name.empty() ? device_name_of(settings_.volume) : request.name;
  device.read_only = request.read_only || settings_.read_only;
  device.offset = request.offset;
  device.size = request.size;
  device.block_size = request.block_size;
  if (auto right = check_device_name(device.name); !right) co_return std::move(right).error();
  if (!request.mapper_name.empty()) {
    if (auto right = check_device_name(request.mapper_name); !right) {
      co_return std::move(right).error();
    }
    device.mapper_link = settings_.mapper_folder + "/" + request.mapper_name;
  }
  const auto same = std::ranges::find_if(
      all_, [&](const Attachment& each) { return each.device.name == device.name; });
  if (same != all_.end()) {
    device.kind = request.kind.value_or(same->device.kind);
    if (is_as_wanted(same->device, device)) co_return same->device;
    co_return Error(Errc::busy, fmt::format("{} is a device of the volume already, {} of another "
                                            "kind or part: give another name",
                                            device.name, same->device.path));
  }
  if (auto is_free = check_link_is_free(device.name); !is_free)
    co_return std::move(is_free).error();
  Result<AttachedDevice> made = Error(Errc::unsupported, "");
  if (request.kind) {
    device.kind = *request.kind;
    auto result = co_await make(std::move(device), std::move(request.at), false);
    made = std::move(result);
  } else {
    auto result = co_await make_of_any_kind(std::move(device), std::move(request.at));
    made = std::move(result);
  }
  if (made) save(list());
  co_return made;
}

Task<Result<AttachedDevice>> Attachments::make_of_any_kind(AttachedDevice device, std::string at) {
  std::string reasons;
  for (const DeviceKind kind : kDeviceKinds) {
    device.kind = kind;
    auto made = co_await make(device, at, false);
    if (made || made.error().code() != Errc::unsupported) co_return made;
    reasons +=
        fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", name_of(kind), made.error().message());
  }
  co_return Error(Errc::unsupported,
                  fmt::format("no kind of device can be had here ({})", reasons));
}

Task<Result<AttachedDevice>> Attachments::make(AttachedDevice device, std::string at,
                                               bool take_over) {
  if (!settings_.make) {
    co_return Error(Errc::unsupported, "this server makes no devices of this machine");
  }
  if (device.offset != 0 || device.size) {
    auto fits = check_window({device.offset, device.size}, service_.size());
    if (!fits) co_return std::move(fits).error();
  }
  all_.emplace_back(service_, std::move(device));
  const auto attachment = std::prev(all_.end());
  auto front_end =
      settings_.make({attachment->device, std::move(at), &attachment->view.service(), take_over});
  Result<void> done;
  if (front_end) {
    attachment->front_end = std::move(*front_end);
    auto started = co_await attachment->front_end->start();
    done = std::move(started);
  } else {
    done = std::move(front_end).error();
  }
  if (!done) {
    all_.erase(attachment);
    co_return std::move(done).error();
  }
  AttachedDevice& made = attachment->device;
  made.path = attachment->front_end->addresses().front().name;
  made.link = make_link(made);
  made.mapper_link = make_mapper_link(made);
  tell_udev(made);
  log_(fmt::format("{} {} is {} of {}{}", take_over ? "took over: device" : "device", made.name,
                   made.path, size_text(attachment->view.service().size()),
                   made.read_only ? ", read-only" : ""));
  co_return made;
}

Result<void> Attachments::check_link_is_free(const std::string& name) const {
  const fs::path link = fs::path(settings_.link_folder) / name;
  std::error_code error;
  // One may lead to a device that is gone; those that udev makes are relative to their folder.
  const fs::path target = fs::read_symlink(link, error);
  if (error || !fs::exists(link, error)) return {};
  return Error(Errc::busy,
               fmt::format("{} is {} already: give another name", link.string(), target.string()));
}

std::string Attachments::make_link(const AttachedDevice& device) const {
  if (device.kind == DeviceKind::file || geteuid() != 0) return {};
  std::error_code error;
  fs::create_directory(settings_.link_folder, error);
  return put_link(settings_.link_folder + "/" + device.name, device.path);
}

void Attachments::tell_udev(const AttachedDevice& device) const {
  if (device.link.empty()) return;
  auto told =
      udev_names_.tell(device.path, device.name, fs::path(device.mapper_link).filename().string());
  if (told) return;
  log_({LogLevel::warning,
        fmt::format("systemd has no unit for {}: {}", device.link, told.error().message())});
}

std::string Attachments::make_mapper_link(const AttachedDevice& device) const {
  const std::string& link = device.mapper_link;
  if (link.empty() || device.kind == DeviceKind::file || geteuid() != 0) return {};
  std::error_code error;
  // A link to a device that is gone is nobody's; one to this device a server before has made.
  const auto there = fs::symlink_status(link, error);
  const fs::path target = fs::is_symlink(there) ? fs::read_symlink(link, error) : fs::path();
  if (fs::exists(there) && target != device.path && (target.empty() || fs::exists(link, error))) {
    log_({LogLevel::warning,
          fmt::format("{} is another device: {} has no name there", link, device.path)});
    return {};
  }
  fs::create_directory(settings_.mapper_folder, error);
  return put_link(link, device.path);
}

std::string Attachments::put_link(const std::string& link, const std::string& path) const {
  const std::string draft = link + ".new";
  std::error_code error;
  fs::remove(draft, error);
  fs::create_symlink(path, draft, error);
  if (!error) fs::rename(draft, link, error);
  if (!error) return link;
  log_({LogLevel::warning,
        fmt::format("the link {} to {} cannot be made: {}", link, path, error.message())});
  return {};
}

Task<Result<bool>> Attachments::detach(std::string which, DetachMode mode) {
  co_await turn_.acquire();
  const Turn turn(turn_);
  const auto found = std::ranges::find_if(all_, [&](const auto& each) {
    return which == each.device.name || which == each.device.path ||
           (!each.device.link.empty() && which == each.device.link);
  });
  if (found == all_.end()) {
    co_return Error(Errc::invalid_argument, fmt::format("the volume has no device {}", which));
  }
  std::vector<std::string> users;
  if (mode != DetachMode::force) {
    auto asking = settings_.users_of(found->device.path);
    users = co_await std::move(asking);
  }
  if (!users.empty() && mode == DetachMode::unused) {
    co_return Error(Errc::busy,
                    fmt::format("{} is in use: {}", found->device.path, fmt::join(users, ", ")));
  }
  if (!users.empty()) {
    found->is_leaving = true;
    co_return false;
  }
  co_await end(found, true);
  save(list());
  co_return true;
}

bool Attachments::has_leaving() const { return std::ranges::any_of(all_, &Attachment::is_leaving); }

Task<void> Attachments::end_unused() {
  co_await turn_.acquire();
  const Turn turn(turn_);
  for (auto each = all_.begin(); each != all_.end();) {
    const auto attachment = each++;
    if (!attachment->is_leaving) continue;
    auto asking = settings_.users_of(attachment->device.path);
    const auto users = co_await std::move(asking);
    if (users.empty()) co_await end(attachment, true);
  }
  save(list());
}

Task<void> Attachments::end(std::list<Attachment>::iterator attachment, bool for_good) {
  if (for_good) {
    log_(fmt::format("device {} ({}) is taken away", attachment->device.name,
                     attachment->device.path));
    co_await attachment->front_end->shutdown();
  } else {
    auto left = co_await attachment->front_end->leave();
    if (!left) {
      log_({LogLevel::error, fmt::format("of {} not all that was answered is stable: {}",
                                         attachment->device.path, left.error().message())});
    }
  }
  for (const std::string& link : {attachment->device.link, attachment->device.mapper_link}) {
    if (for_good && !link.empty()) unlink(link.c_str());
  }
  if (for_good) udev_names_.forget(attachment->device.path);
  all_.erase(attachment);
}

Task<void> Attachments::stop(End how) {
  co_await turn_.acquire();
  const Turn turn(turn_);
  is_stopping_ = true;
  std::vector<AttachedDevice> waiting;
  while (!all_.empty()) {
    const auto last = std::prev(all_.end());
    bool for_good = how == End::for_good || !last->front_end->can_leave();
    if (!for_good && how == End::wait) {
      auto asking = settings_.users_of(last->device.path);
      const auto users = co_await std::move(asking);
      for_good = users.empty();
    }
    if (!for_good) {
      log_({LogLevel::notice, fmt::format("device {} ({}) waits for the next server of the volume",
                                          last->device.name, last->device.path)});
      waiting.push_back(last->device);
    }
    co_await end(last, for_good);
  }
  save(waiting);
}

std::vector<AttachedDevice> Attachments::list() const {
  std::vector<AttachedDevice> devices;
  devices.reserve(all_.size());
  for (const Attachment& each : all_) {
    if (!each.device.path.empty()) devices.push_back(each.device);
  }
  return devices;
}

std::vector<std::string> Attachments::paths() const {
  std::vector<std::string> paths;
  for (const AttachedDevice& device : list()) paths.push_back(device.path);
  return paths;
}

std::size_t Attachments::clients() const {
  std::size_t sum = 0;
  for (const Attachment& each : all_) {
    if (each.front_end) sum += each.front_end->clients();
  }
  return sum;
}

Task<std::vector<std::string>> Attachments::users() {
  co_await turn_.acquire();
  const Turn turn(turn_);
  std::vector<std::string> all;
  for (const Attachment& each : all_) {
    auto asking = settings_.users_of(each.device.path);
    const auto users = co_await std::move(asking);
    for (const std::string& user : users) {
      all.push_back(fmt::format("{} is {}", each.device.path, user));
    }
  }
  co_return all;
}

std::string Attachments::those_that_cannot_wait(NextServer next) const {
  std::string names;
  for (const Attachment& each : all_) {
    // Drivers of ublk and nbd take a device over from a process that has ended, not within one.
    const bool is_of_fuse =
        each.device.kind == DeviceKind::fuse || each.device.kind == DeviceKind::file;
    const bool can_follow = is_of_fuse || next == NextServer::another_process;
    if (can_follow && each.front_end && each.front_end->can_leave()) continue;
    names += (names.empty() ? "" : ", ") + each.device.path;
  }
  return names;
}

void Attachments::size_changed() {
  for (Attachment& each : all_) {
    const std::uint64_t size = each.view.service().size();
    if (!each.front_end || each.device.path.empty() || size == each.told_size) continue;
    each.told_size = size;
    each.front_end->size_changed();
  }
}

void Attachments::save(const std::vector<AttachedDevice>& devices) const {
  auto saved = state_.save(devices);
  if (saved) return;
  log_({LogLevel::warning, fmt::format("a server that follows would not find the devices: {}",
                                       saved.error().message())});
}

}  // namespace uvdo
