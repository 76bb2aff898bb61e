// SPDX-License-Identifier: GPL-2.0-or-later
#include "rbd/image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>

namespace uvdo {
namespace {

/// What a volume's promises rest on, by the names of Ceph's settings (cluster.cpp sets them).
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kNeeded{{
    {"rbd_cache", "false"},
    {"rbd_persistent_cache_mode", "disabled"},
    {"rbd_blocklist_on_break_lock", "true"},
}};

/// "10.0.0.3:0/123456789", as librbd tells it, without the number of the client.
std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

/// The client that has the exclusive lock of an image; empty: nobody has. (An image that is open to
/// be read only tells nothing by rbd_lock_get_owners().)
Result<std::string> owner_of(rbd_image_t image, const std::string& name) {
  int is_exclusive = 0;
  std::array<std::string, 4> texts;  // tag, clients, cookies, addresses
  std::array<std::size_t, 4> sizes{};
  ssize_t result = -ERANGE;
  // Asked with too little room it tells how much it takes, which may have become more meanwhile.
  for (int attempt = 0; attempt < 3 && result == -ERANGE; ++attempt) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      texts[i].assign(sizes[i] = std::max<std::size_t>(sizes[i], 256), '\0');
    }
    result = rbd_list_lockers(image, &is_exclusive, texts[0].data(), sizes.data(), texts[1].data(),
                              &sizes[1], texts[2].data(), &sizes[2], texts[3].data(), &sizes[3]);
  }
  if (result == 0 || result == -ENOENT) return std::string();
  if (result < 0) {
    return ceph_error(static_cast<int>(result), fmt::format("cannot see who uses {}", name));
  }
  return std::string(texts[3].c_str());
}

/// The same of an image whose lock we have: as the cluster has it now.
Result<std::string> holder_of(rbd_image_t image, const std::string& name) {
  rbd_lock_mode_t mode = RBD_LOCK_MODE_EXCLUSIVE;
  std::array<char*, 1> owners{};
  std::size_t count = owners.size();
  const int result = rbd_lock_get_owners(image, &mode, owners.data(), &count);
  if (result < 0) return ceph_error(result, fmt::format("cannot see who has locked {}", name));
  std::string owner = count > 0 ? owners[0] : "";
  rbd_lock_get_owners_cleanup(owners.data(), count);
  return owner;
}

/// Whether a client has the image open, as far as the cluster knows: of one that has died it knows
/// half a minute later.
Result<bool> is_there(rbd_image_t image, const std::string& owner, const std::string& name) {
  std::vector<rbd_image_watcher_t> watchers(16);
  std::size_t count = watchers.size();
  int result = rbd_watchers_list(image, watchers.data(), &count);
  if (result == -ERANGE) {
    watchers.resize(count);
    result = rbd_watchers_list(image, watchers.data(), &count);
  }
  if (result < 0) return ceph_error(result, fmt::format("cannot see who uses {}", name));
  const bool found =
      std::any_of(watchers.begin(), watchers.begin() + static_cast<std::ptrdiff_t>(count),
                  [&](const rbd_image_watcher_t& each) { return owner == each.addr; });
  rbd_watchers_list_cleanup(watchers.data(), count);
  return found;
}

}  // namespace

Error LibrbdImage::in_use(const std::string& owner) const {
  return {Errc::busy, fmt::format("{} is in use by {}; end the server there, or take the volume "
                                  "over by uvdo serve --take-over",
                                  name_, host_of(owner))};
}

Result<std::unique_ptr<RbdImage>> LibrbdImage::open(const std::string& name, const RbdPlace& place,
                                                    RbdAccess access, const std::string& ended) {
  auto cluster = Cluster::connect(name, place);
  if (!cluster) return std::move(cluster).error();
  std::unique_ptr<LibrbdImage> made(new LibrbdImage(name, std::move(*cluster)));
  if (auto opened = made->open_image(place, access); !opened) return std::move(opened).error();
  if (auto right = made->check_settings(); !right) return std::move(right).error();
  if (auto locked = made->lock(access, ended); !locked) return std::move(locked).error();
  if (auto watched = made->watch_answers(); !watched) return std::move(watched).error();
  return std::unique_ptr<RbdImage>(std::move(made));
}

Result<void> LibrbdImage::take_over(const std::string& name, const RbdPlace& place) {
  auto cluster = Cluster::connect(name, place);
  if (!cluster) return std::move(cluster).error();
  LibrbdImage image(name, std::move(*cluster));
  if (auto opened = image.open_image(place, RbdAccess::write); !opened) return opened;
  return image.break_lock();
}

Result<void> LibrbdImage::open_image(const RbdPlace& place, RbdAccess access) {
  const char* image = place.image.c_str();
  const int result = access == RbdAccess::write
                         ? rbd_open(cluster_.pool(), image, &image_, nullptr)
                         : rbd_open_read_only(cluster_.pool(), image, &image_, nullptr);
  if (result == 0) return {};
  image_ = nullptr;
  if (result == -ENOENT) {
    return Error(
        Errc::not_found,
        fmt::format(
            "cannot open {}: there is no image {} in pool {}{}; make it by rbd "
            "create",
            name_, place.image, place.pool,
            place.name_space.empty() ? "" : fmt::format(", namespace {}", place.name_space)));
  }
  return ceph_error(result, fmt::format("cannot open {}", name_));
}

/// An image and its pool may have settings of their own, before which those of this client give
/// way.
Result<void> LibrbdImage::check_settings() {
  std::vector<rbd_config_option_t> options(256);
  int count = static_cast<int>(options.size());
  int result = rbd_config_image_list(image_, options.data(), &count);
  if (result == -ERANGE) {
    options.resize(static_cast<std::size_t>(count));
    result = rbd_config_image_list(image_, options.data(), &count);
  }
  if (result < 0) return ceph_error(result, fmt::format("cannot see the settings of {}", name_));
  std::string wrong;
  for (const auto& option : std::span(options).first(static_cast<std::size_t>(count))) {
    for (const auto& [key, value] : kNeeded) {
      if (std::string_view(option.name) == key && std::string_view(option.value) != value) {
        wrong = fmt::format("{}={}", key, option.value);
      }
    }
  }
  rbd_config_image_list_cleanup(options.data(), count);
  if (wrong.empty()) return {};
  return Error(
      Errc::unsupported,
      fmt::format("{} has the setting {} of its own, or of its pool, with which writes that were "
                  "answered could be lost; take it away by rbd config image remove, or rbd config "
                  "pool remove",
                  name_, wrong));
}

Result<void> LibrbdImage::lock(RbdAccess access, const std::string& ended) {
  switch (access) {
    case RbdAccess::look: return {};
    case RbdAccess::read: return check_unlocked(ended);
    case RbdAccess::write: return take_lock(ended);
  }
  return {};
}

Result<void> LibrbdImage::watch_answers() {
  event_ = FileDescriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event_) return ceph_error(-errno, fmt::format("cannot open {}", name_));
  const int result = rbd_set_image_notification(image_, event_.get(), EVENT_TYPE_EVENTFD);
  if (result < 0) return ceph_error(result, fmt::format("cannot open {}", name_));
  return {};
}

Result<void> LibrbdImage::check_unlocked(const std::string& ended) {
  auto owner = owner_of(image_, name_);
  if (!owner) return std::move(owner).error();
  if (owner->empty() || *owner == ended) return {};
  auto alive = is_there(image_, *owner, name_);
  if (!alive) return std::move(alive).error();
  if (*alive) return in_use(*owner);
  return {};
}

/// The lock of one that is there is refused at once; that of one that has died becomes ours as soon
/// as the cluster knows so, and has shut it out.
Result<void> LibrbdImage::take_lock(const std::string& ended) {
  std::uint64_t features = 0;
  int result = rbd_get_features(image_, &features);
  if (result < 0) return ceph_error(result, fmt::format("cannot open {}", name_));
  if ((features & RBD_FEATURE_EXCLUSIVE_LOCK) == 0) {
    return Error(Errc::unsupported,
                 fmt::format("{} has no exclusive-lock, without which two machines could write it "
                             "at once; give it one by rbd feature enable POOL/IMAGE exclusive-lock",
                             name_));
  }
  auto before = owner_of(image_, name_);
  if (!before) return std::move(before).error();
  if (!before->empty() && *before == ended) {
    if (auto broken = break_lock(); !broken) return broken;
  } else if (!before->empty()) {
    // librbd takes it from one of which the cluster hears nothing any more; for good, here too.
    auto alive = is_there(image_, *before, name_);
    if (!alive) return std::move(alive).error();
    if (*alive) return in_use(*before);
    if (auto out = cluster_.shut_out(name_, *before); !out) return out;
  }
  result = rbd_lock_acquire(image_, RBD_LOCK_MODE_EXCLUSIVE);
  if (result != 0) {
    auto owner = owner_of(image_, name_);
    if (!owner) return std::move(owner).error();
    if (!owner->empty()) return in_use(*owner);
    return ceph_error(result, fmt::format("cannot lock {}", name_));
  }
  auto owner = holder_of(image_, name_);
  if (!owner) return std::move(owner).error();
  owner_ = std::move(*owner);
  // What is read from here on is read behind the shutting out of whoever had the lock.
  return cluster_.catch_up(name_);
}

Result<void> LibrbdImage::break_lock() {
  auto owner = owner_of(image_, name_);
  if (!owner) return std::move(owner).error();
  if (owner->empty()) return {};
  // Before librbd does so for an hour: an entry that is there is not made longer.
  if (auto out = cluster_.shut_out(name_, *owner); !out) return out;
  const int result = rbd_lock_break(image_, RBD_LOCK_MODE_EXCLUSIVE, owner->c_str());
  if (result == 0 || result == -ENOENT) return {};
  return ceph_error(result, fmt::format("cannot take {} over from {}; its user needs the profile "
                                        "rbd at the monitors to shut others out",
                                        name_, host_of(*owner)));
}

LibrbdImage::~LibrbdImage() {
  while (under_way_ > 0) {
    pollfd wanted{event_.get(), POLLIN, 0};
    poll(&wanted, 1, -1);
    while (collect().request != nullptr) {
    }
  }
  // It gives the lock back; that of one who has lost it is somebody else's.
  if (image_ != nullptr) rbd_close(image_);
}

Result<std::uint64_t> LibrbdImage::look_up_size() {
  std::uint64_t size = 0;
  const int result = rbd_get_size(image_, &size);
  if (result < 0) return ceph_error(result, fmt::format("cannot see how large {} is", name_));
  return size;
}

Result<void> LibrbdImage::resize(std::uint64_t size) {
  const int result = rbd_resize(image_, size);
  if (result < 0) return ceph_error(result, fmt::format("cannot make {} larger", name_));
  return {};
}

int LibrbdImage::start(Device::Request& request) {
  rbd_completion_t completion = nullptr;
  int result = rbd_aio_create_completion(&request, nullptr, &completion);
  if (result < 0) return -result;
  const int slices = static_cast<int>(request.slices.size());
  switch (request.op) {
    case Device::Op::read:
      result = rbd_aio_readv(image_, request.slices.data(), slices, request.offset, completion);
      break;
    case Device::Op::write:
      result = rbd_aio_writev(image_, request.slices.data(), slices, request.offset, completion);
      break;
    case Device::Op::flush: result = rbd_aio_flush(image_, completion); break;
    case Device::Op::discard:
      result = rbd_aio_discard(image_, request.offset, request.length, completion);
      break;
    case Device::Op::write_zeroes:
      result = rbd_aio_write_zeroes(image_, request.offset, request.length, completion, 0, 0);
      break;
  }
  if (result < 0) {
    rbd_aio_release(completion);
    return -result;
  }
  ++under_way_;
  return 0;
}

RbdImage::Answer LibrbdImage::collect() {
  rbd_completion_t completion = nullptr;
  if (rbd_poll_io_events(image_, &completion, 1) < 1) {
    // What comes from here on wakes whoever waits anew.
    std::uint64_t count = 0;
    if (read(event_.get(), &count, sizeof count) < 0) return {};
    if (rbd_poll_io_events(image_, &completion, 1) < 1) return {};
  }
  --under_way_;
  Answer answer;
  answer.request = static_cast<Device::Request*>(rbd_aio_get_arg(completion));
  const ssize_t result = rbd_aio_get_return_value(completion);
  rbd_aio_release(completion);
  if (result < 0) answer.error = static_cast<int>(-result);
  return answer;
}

}  // namespace uvdo
