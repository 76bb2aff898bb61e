// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include <fmt/core.h>
#include <sys/resource.h>

namespace uvdo {
namespace {

/// The number behind `key` of a file of "key number" lines.
std::optional<std::uint64_t> number_behind(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t value = 0;
    if (words >> word >> value && word == key) return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;  // "max" too
  return value;
}

void lower(MachineMemory& memory, std::uint64_t bytes, const char* limit) {
  if (bytes < memory.bytes) memory = {bytes, limit};
}

/// Of one control group: its limit less what it has, files in the cache not counted.
void apply_group(MachineMemory& memory, std::uint64_t own, const std::string& folder,
                 const char* limit_name, const char* usage_name) {
  const auto limit = number_in(folder + "/" + limit_name);
  const auto usage = number_in(folder + "/" + usage_name);
  if (!limit || !usage) return;
  const std::uint64_t cache = number_behind(folder + "/memory.stat", "inactive_file").value_or(0);
  const std::uint64_t taken = *usage - std::min(*usage, cache);
  lower(memory, *limit - std::min(*limit, taken) + own, "the memory limit of its control group");
}

/// `own`: bytes that the process has of what the machine and its control group give.
MachineMemory memory_with(std::uint64_t own, const std::string& root) {
  MachineMemory memory{std::numeric_limits<std::uint64_t>::max(), ""};
  if (const auto free = number_behind(root + "/proc/meminfo", "MemAvailable:")) {
    lower(memory, *free * 1024 + own, "what the machine has free");
  }
  // Lines "NUMBER:CONTROLLERS:PATH"; those of version 2 name no controllers.
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string kind = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (kind.empty()) {
      apply_group(memory, own, fmt::format("{}/sys/fs/cgroup{}", root, path), "memory.max",
                  "memory.current");
    } else if (kind == "memory") {
      apply_group(memory, own, fmt::format("{}/sys/fs/cgroup/memory{}", root, path),
                  "memory.limit_in_bytes", "memory.usage_in_bytes");
    }
  }
  // A `root` is that of another machine, as in tests, whose limits are not those of this process.
  rlimit space{};
  if (root.empty() && getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
    lower(memory, space.rlim_cur, "the limit of its address space (ulimit -v)");
  }
  return memory;
}

}  // namespace

MachineMemory available_memory(const std::string& root) { return memory_with(0, root); }

MachineMemory memory_within_reach(const std::string& root) {
  const auto own = number_behind(root + "/proc/self/status", "VmRSS:").value_or(0) * 1024;
  return memory_with(own, root);
}

}  // namespace uvdo
