// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/storage_user.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <vector>

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/printable.h"
#include "device/folder_entries.h"
#include "device/mount_table.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

/// Characters of a command line that are shown.
constexpr std::size_t kLongestCommand = 120;

/// The folders of /proc whose names are numbers are those of processes.
std::optional<pid_t> pid_of(const fs::path& entry) {
  const std::string name = entry.filename();
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return pid;
}

/// Whether an open file has a lock, as /proc/PID/fdinfo tells.
bool has_lock(const fs::path& info) {
  std::ifstream in(info);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("lock:")) return true;
  }
  return false;
}

/// Whether the process has the storage open and locked. What it has open without a lock is not
/// looked at: it may be anywhere, on a server that does not answer too.
bool has_locked(pid_t pid, const StorageId& id) {
  return std::ranges::any_of(
      entries_of(fmt::format("/proc/{}/fdinfo", pid)), [&](const auto& info) {
        return has_lock(info) &&
               StorageId::at(fmt::format("/proc/{}/fd/{}", pid, info.filename().string())) == id;
      });
}

/// Another process that has the storage locked; of those of other users only root learns.
std::optional<pid_t> process_with_lock(const StorageId& id) {
  for (const fs::path& entry : entries_of("/proc")) {
    const auto pid = pid_of(entry);
    if (pid && *pid != getpid() && has_locked(*pid, id)) return pid;
  }
  return std::nullopt;
}

/// A line of /proc/locks: "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END".
struct LockLine {
  std::string kind;  // FLOCK, OFDLCK, POSIX
  std::string access;
  pid_t pid = 0;
  std::string place;
  std::uint64_t start = 0;
  std::string last;  // the last byte, or EOF
};

std::vector<LockLine> lock_table() {
  std::vector<LockLine> lines;
  std::ifstream in("/proc/locks");
  for (std::string text; std::getline(in, text);) {
    std::istringstream words(text);
    LockLine line;
    std::string ignored;
    words >> ignored >> line.kind;
    if (line.kind == "->") continue;  // who waits for one
    words >> ignored >> line.access >> line.pid >> line.place >> line.start >> line.last;
    if (words) lines.push_back(std::move(line));
  }
  return lines;
}

std::string place_of(const StorageId& id) {
  return fmt::format("{:02x}:{:02x}:{}", major(id.device), minor(id.device), id.inode);
}

/// Of a file; the table also tells of processes of other users.
std::optional<pid_t> process_in_lock_table(const StorageId& id) {
  if (id.kind != StorageId::Kind::file) return std::nullopt;
  for (const LockLine& line : lock_table()) {
    if (line.kind != "FLOCK" || line.place != place_of(id)) continue;
    if (line.pid > 0 && line.pid != getpid()) return line.pid;
  }
  return std::nullopt;
}

/// Where a block device is mounted; empty if it is not.
std::string mount_of(dev_t device) {
  const auto mounts = mounts_now();
  const auto found = std::ranges::find(mounts, device, &MountEntry::device);
  return found == mounts.end() ? std::string() : found->place;
}

}  // namespace

bool is_locked_by_others(const StorageRange& range) {
  if (range.id.kind != StorageId::Kind::file) return false;
  return std::ranges::any_of(lock_table(), [&](const LockLine& line) {
    if (line.access != "WRITE" || line.place != place_of(range.id)) return false;
    if (line.kind == "FLOCK") return line.pid != getpid();
    if (line.kind != "OFDLCK") return false;
    std::uint64_t last = UINT64_MAX;  // "EOF"
    std::from_chars(line.last.data(), line.last.data() + line.last.size(), last);
    return line.start < range.end() && range.start <= last;
  });
}

std::string process_text(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
  std::string command((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  while (!command.empty() && command.back() == '\0') command.pop_back();
  std::ranges::replace(command, '\0', ' ');
  if (command.size() > kLongestCommand) command = command.substr(0, kLongestCommand) + " ...";
  if (command.empty()) return fmt::format("process {}", pid);
  return fmt::format("process {} ({})", pid, printable(command));
}

std::string user_of(const StorageId& id, const StorageMap& map) {
  // The table names who took the lock, who may have left it to a child: then all are asked. That
  // takes long where there are many.
  auto pid = process_in_lock_table(id);
  if (!pid || !has_locked(*pid, id)) {
    if (const auto found = process_with_lock(id)) pid = found;
  }
  if (pid) return process_text(*pid);
  if (id.kind != StorageId::Kind::block) return {};
  const auto holders = map.holders_of(id.device);
  if (!holders.empty()) return "held by " + printable(holders.front());
  if (const std::string where = mount_of(id.device); !where.empty()) {
    return "mounted on " + printable(where);
  }
  return {};
}

}  // namespace uvdo
