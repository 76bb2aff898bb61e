// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/statistics_json.h"

#include "statistics/statistics_text.h"

namespace uvdo {

Json JsonCodec<OperatingMode>::write(OperatingMode mode) { return std::string(name_of(mode)); }

std::optional<OperatingMode> JsonCodec<OperatingMode>::read(const Json& json) {
  if (!json.is_string()) return std::nullopt;
  const auto name = json.get<std::string>();
  for (const OperatingMode mode :
       {OperatingMode::normal, OperatingMode::recovering, OperatingMode::read_only}) {
    if (name == name_of(mode)) return mode;
  }
  return std::nullopt;
}

Json to_json(const VolumeStatistics& statistics) { return fields_json(statistics); }

}  // namespace uvdo
