// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/kept_writes.h"

#include <chrono>
#include <fstream>
#include <thread>

#include <fmt/core.h>
#include <unistd.h>

namespace uvdo {
namespace {

constexpr int kTries = 100;

/// What is different in each life of the machine.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

KeptWrites::KeptWrites(std::string path, const std::string& volume, bool is_wanted,
                       std::vector<ServiceManager::Stored> stored)
    : path_(std::move(path)), is_wanted_(is_wanted), stored_(std::move(stored)) {
  if (!is_wanted_ || manager_.is_there()) return;
  auto started = MemoryKeeper::start(path_ + ".kept", volume);
  if (started) {
    keeper_ = std::move(*started);
  } else {
    problem_ = started.error().message();
  }
}

KeptMemories KeptWrites::take(const VolumeOptions& options, const LogFunction& log) {
  std::ifstream file(marker());
  std::string boot;
  is_unfinished_ = std::getline(file, boot) && boot == boot_id();
  std::ofstream(marker()) << boot_id() << '\n';
  if (!is_wanted_) return {};
  take_from_keeper();
  store(options);
  if (!problem_.empty()) {
    log({LogLevel::warning,
         fmt::format("if this server dies, writes that it has answered and no flush has covered "
                     "are lost, because nobody keeps its memory: {}",
                     problem_)});
  }
  KeptMemories memories{own_.bytes(), {}};
  for (ServiceManager::Stored& one : stored_) {
    left_names_.push_back(std::move(one.name));
    auto adopted = MemoryFile::adopt(std::move(one.fd));
    if (adopted) left_.push_back(std::move(*adopted));
  }
  stored_.clear();
  for (const MemoryFile& one : left_) memories.left.push_back(one.bytes());
  return memories;
}

/// The server before is gone when its storage is free, but the keeper may see that a moment later.
void KeptWrites::take_from_keeper() {
  for (int i = 0; keeper_; ++i) {
    auto taken = keeper_.take();
    if (taken) {
      for (FileDescriptor& fd : *taken) stored_.push_back({{}, std::move(fd)});
      return;
    }
    keeper_ = MemoryKeeper();
    problem_ = taken.error().message();
    if (i == kTries) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    auto again = MemoryKeeper::reach(path_ + ".kept");
    if (!again) return;
    keeper_ = std::move(*again);
    problem_.clear();
  }
}

void KeptWrites::store(const VolumeOptions& options) {
  if (!keeper_ && !manager_.is_there()) return;
  auto made = MemoryFile::create("uvdo-kept-writes", KeptLayout::of(options).bytes());
  if (!made) {
    problem_ = made.error().message();
    return;
  }
  Result<void> kept;
  if (keeper_) {
    kept = keeper_.keep(made->descriptor());
  } else {
    own_name_ = fmt::format("{}{}", ServiceManager::kStoredPrefix, getpid());
    kept = manager_.store(made->descriptor(), own_name_);
  }
  if (kept) {
    own_ = std::move(*made);
  } else {
    problem_ = kept.error().message();
  }
}

bool KeptWrites::opened(const KeptReport& report, const LogFunction& log) {
  left_.clear();
  if (keeper_) {
    if (auto done = keeper_.forget_others(); !done) {
      log({LogLevel::warning, done.error().message()});
    }
  } else if (manager_.is_there()) {
    for (const std::string& name : left_names_) manager_.forget(name);
  }
  const bool is_lost =
      !report.loss.empty() || (is_unfinished_ && report.was_dirty && !report.was_found);
  if (is_lost) {
    log({LogLevel::warning,
         "the server before this one died, and writes that it had answered and no flush had "
         "covered may be lost: the first flush of each client that connects now fails with EIO"});
  }
  return is_lost;
}

void KeptWrites::failed() {
  // Unless the disk tells already of this run, and this memory of whose writes are still to come.
  if (!own_ || KeptMemory::is_begun(own_.bytes())) return;
  if (keeper_) keeper_.forget_own();
  if (!own_name_.empty()) manager_.forget(own_name_);
}

void KeptWrites::saved() {
  keeper_.end();
  if (!own_name_.empty()) manager_.forget(own_name_);
  unlink(marker().c_str());
}

}  // namespace uvdo
