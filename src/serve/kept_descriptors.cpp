// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/kept_descriptors.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fcntl.h>

#include "base/file_lock.h"
#include "control/control_path.h"

namespace uvdo {
namespace {

constexpr std::chrono::milliseconds kPause(10);
// Longer than somebody can be there who waits for the storage's lock in vain.
constexpr int kTries = (kLockPatience + std::chrono::seconds(1)) / kPause;

}  // namespace

KeptDescriptors::KeptDescriptors(const std::string& path, const std::string& volume,
                                 std::vector<KeptDescriptor> handed_over, How how)
    : path_(keeper_socket_of(path)), left_(std::move(handed_over)) {
  if (how == How::only_take_over) return;
  manager_ = ServiceManager();
  for (const KeptDescriptor& one : left_) note(one.name, one.fd.get());
  if (manager_.is_there()) return;
  auto started = DescriptorKeeper::start(path_, volume);
  if (started) {
    keeper_ = std::move(*started);
  } else {
    problem_ = started.error().message();
  }
}

/// The server before is gone when its storage is free, but the keeper may see that a moment later.
void KeptDescriptors::take_over() {
  for (int i = 0; keeper_; ++i) {
    auto taken = keeper_.take();
    if (taken) {
      for (KeptDescriptor& one : *taken) {
        if (std::ranges::find(kept_, one.name, &KeptDescriptor::name) != kept_.end()) continue;
        note(one.name, one.fd.get());
        left_.push_back(std::move(one));
      }
      return;
    }
    keeper_ = DescriptorKeeper();
    problem_ = taken.error().message();
    if (i == kTries) return;
    std::this_thread::sleep_for(kPause);
    auto again = DescriptorKeeper::reach(path_);
    if (!again) return;
    keeper_ = std::move(*again);
    problem_.clear();
  }
}

std::vector<KeptDescriptor> KeptDescriptors::claim(std::string_view prefix) {
  std::vector<KeptDescriptor> claimed;
  for (KeptDescriptor& one : left_) {
    if (one.name.starts_with(prefix)) claimed.push_back(std::move(one));
  }
  std::erase_if(left_, [](const KeptDescriptor& one) { return !one.fd; });
  return claimed;
}

FileDescriptor KeptDescriptors::claim_one(std::string_view name) {
  const auto found = std::ranges::find(left_, name, &KeptDescriptor::name);
  if (found == left_.end()) return {};
  FileDescriptor fd = std::move(found->fd);
  left_.erase(found);
  return fd;
}

Result<void> KeptDescriptors::keep(const std::string& name, int fd) {
  Result<void> kept;
  if (keeper_) {
    kept = keeper_.keep(fd, name);
  } else if (manager_.is_there()) {
    kept = manager_.store(fd, name);  // what it has already it does not take twice
  } else {
    kept = Error(Errc::not_found, problem_.empty() ? "nobody keeps descriptors" : problem_);
  }
  if (kept) note(name, fd);
  return kept;
}

void KeptDescriptors::note(const std::string& name, int fd) {
  std::erase_if(kept_, [&](const KeptDescriptor& one) { return one.name == name; });
  FileDescriptor copy(manager_.is_there() ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1);
  kept_.push_back({name, std::move(copy)});
}

std::vector<KeptDescriptor> KeptDescriptors::take_copies() {
  std::vector<KeptDescriptor> copies;
  for (KeptDescriptor& one : kept_) {
    if (one.fd) copies.push_back({one.name, std::move(one.fd)});
  }
  return copies;
}

void KeptDescriptors::forget(const std::string& name) {
  const auto is_it = [&](const KeptDescriptor& one) { return one.name == name; };
  if (std::erase_if(kept_, is_it) == 0) return;
  // One that is not reached holds nothing either, or has no server and is told by the next.
  if (keeper_) static_cast<void>(keeper_.forget(name));
  if (manager_.is_there()) manager_.forget(name);
}

void KeptDescriptors::leave() {
  if (keeper_ && kept_.empty()) keeper_.end();
  keeper_ = DescriptorKeeper();
}

}  // namespace uvdo
