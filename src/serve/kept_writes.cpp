// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/kept_writes.h"

#include <algorithm>
#include <fstream>

#include <fmt/core.h>
#include <unistd.h>

namespace uvdo {
namespace {

constexpr std::string_view kNames = "memory-";

/// What is different in each life of the machine.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

void KeptWrites::claim_left(const VolumeHeaders& headers, const LogFunction& log) {
  const bool is_saved = headers.super_block.state == VolumeState::clean;
  for (KeptDescriptor& one : kept_.claim(kNames)) {
    left_names_.push_back(std::move(one.name));
    auto adopted = MemoryFile::adopt(std::move(one.fd));
    if (!adopted) continue;
    if (is_saved && before_ != Before::here) {
      log({LogLevel::warning,
           "memory of a server that died here is forgotten: another one has had the volume since, "
           "and saved it"});
    } else {
      left_.push_back(std::move(*adopted));
    }
  }
}

KeptMemories KeptWrites::take(const VolumeHeaders& headers, const VolumeOptions& options,
                              bool is_wanted, Before before, const LogFunction& log) {
  before_ = before;
  const std::string mark = boot_id() + " " + to_text(headers.geometry.uuid);
  std::ifstream file(marker());
  std::string found;
  is_unfinished_ = std::getline(file, found) && found == mark;
  std::ofstream(marker()) << mark << '\n';
  if (!is_wanted) return {};
  claim_left(headers, log);
  store(options);
  if (!problem_.empty()) {
    log({LogLevel::warning,
         fmt::format("if this server dies, writes that it has answered and no flush has covered "
                     "are lost, because nobody keeps its memory: {}",
                     problem_)});
  }
  KeptMemories memories{own_.bytes(), {}};
  for (const MemoryFile& each : left_) memories.left.push_back(each.bytes());
  return memories;
}

void KeptWrites::store(const VolumeOptions& options) {
  problem_ = kept_.problem();
  if (!kept_.is_there()) return;
  auto made = MemoryFile::create("uvdo-kept-writes", KeptLayout::of(options).bytes());
  if (!made) {
    problem_ = made.error().message();
    return;
  }
  // What another server has left is not replaced before it is brought in.
  for (int i = 1; own_name_.empty(); ++i) {
    std::string name = fmt::format("{}{}", kNames, i);
    if (std::ranges::find(left_names_, name) == left_names_.end()) own_name_ = std::move(name);
  }
  if (auto kept = kept_.keep(own_name_, made->descriptor().get())) {
    own_ = std::move(*made);
  } else {
    problem_ = kept.error().message();
  }
}

bool KeptWrites::opened(const KeptReport& report, const LogFunction& log) {
  left_.clear();
  for (const std::string& name : left_names_) kept_.forget(name);
  const bool is_unfinished =
      before_ == Before::anywhere || (before_ == Before::here && is_unfinished_);
  const bool is_lost =
      !report.loss.empty() || (is_unfinished && report.was_dirty && !report.was_found);
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
  kept_.forget(own_name_);
}

void KeptWrites::saved() {
  kept_.forget(own_name_);
  unlink(marker().c_str());
}

}  // namespace uvdo
