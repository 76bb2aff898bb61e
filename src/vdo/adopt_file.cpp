// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/adopt_file.h"

#include <filesystem>

#include <fmt/core.h>

#include "vdo/broken_off.h"
#include "vdo/conf_file.h"
#include "vdo/kept_volume.h"

namespace uvdo {

Result<AdoptedFile> adopt_vdo_file(const Registry& registry, const std::string& path) {
  // A file that is missing is one without volumes for vdo; who names one here means it.
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return Error(Errc::not_found, fmt::format("there is no {}", path));
  }
  auto configuration = read_configuration(path);
  if (!configuration) return std::move(configuration).error();
  AdoptedFile result;
  for (const auto& [name, volume] : configuration->volumes) {
    if (const auto broken = check_is_made(name, volume)) {
      result.refused.emplace_back(Errc::corrupt, broken->message);
      continue;
    }
    auto kept = keep_in_registry(registry, name, volume.values);
    if (kept) {
      result.adopted.push_back(name);
    } else {
      result.refused.push_back(std::move(kept).error().within(name));
    }
  }
  return result;
}

}  // namespace uvdo
