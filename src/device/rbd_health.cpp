// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/rbd_health.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

namespace uvdo {
namespace {

/// Of the checks that a cluster makes, those that tell why requests wait or are going to. (Others
/// are about how it is set up, and say nothing of a volume.)
constexpr std::array<std::string_view, 6> kRoom{"OSD_FULL",       "OSD_BACKFILLFULL",
                                                "OSD_NEARFULL",   "POOL_FULL",
                                                "POOL_NEAR_FULL", "POOL_BACKFILLFULL"};
constexpr std::array<std::string_view, 9> kRest{"MON_DOWN",        "OSD_DOWN",     "OSD_HOST_DOWN",
                                                "OSD_ROOT_DOWN",   "OSDMAP_FLAGS", "PG_DAMAGED",
                                                "PG_AVAILABILITY", "SLOW_OPS",     "PG_DEGRADED"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void add(std::string& text, const std::string& message) {
  if (!text.empty()) text += ", ";
  text += message;
}

}  // namespace

Result<RbdHealth> rbd_health_of(const std::string& json) {
  const auto answer = nlohmann::json::parse(json, nullptr, false);
  const auto checks = answer.is_object() ? answer.find("checks") : answer.end();
  if (!answer.is_object() || checks == answer.end() || !checks->is_object()) {
    return Error(Errc::corrupt, "the cluster does not tell its health");
  }
  RbdHealth health;
  for (const auto& [kind, check] : checks->items()) {
    if (!check.is_object()) continue;
    const auto summary = check.find("summary");
    if (summary == check.end() || !summary->is_object()) continue;
    const auto message = summary->find("message");
    if (message == summary->end() || !message->is_string()) continue;
    if (is_one_of(kRoom, kind)) add(health.room, message->template get<std::string>());
    if (is_one_of(kRest, kind)) add(health.rest, message->template get<std::string>());
  }
  return health;
}

}  // namespace uvdo
