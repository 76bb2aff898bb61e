// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/service_unit.h"

#include <fstream>
#include <string_view>

#include <fmt/core.h>

#include "base/child_program.h"

namespace uvdo {

std::optional<std::string> service_unit_of(pid_t pid, const std::string& root) {
  std::ifstream groups(fmt::format("{}/proc/{}/cgroup", root, pid));
  // Each line: a number, controllers, and the path of a group.
  for (std::string line; std::getline(groups, line);) {
    const std::string unit = line.substr(line.rfind('/') + 1);
    if (unit.starts_with("uvdo@") && unit.ends_with(".service")) return unit;
  }
  return std::nullopt;
}

Result<void> restart_unit(const std::string& unit) {
  auto ended = run_program({"systemctl", "restart", "--", unit});
  if (!ended) return std::move(ended).error();
  if (ended->status == 0) return {};
  return Error(Errc::io, fmt::format("systemctl restart {}: {}", unit, ended->error_text));
}

}  // namespace uvdo
