// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/damage_list.h"

#include <fmt/core.h>

namespace uvdo {

std::string place_text(const ContentRun& run) {
  if (run.blocks == 1) return fmt::format("logical block {}", run.start.value());
  return fmt::format("logical blocks {} to {}", run.start.value(),
                     (run.start + (run.blocks - 1)).value());
}

void find_damaged_blocks(VolumeImage& image, const std::function<void(const ContentRun&)>& f,
                         const std::function<void(std::uint64_t)>& progress) {
  ContentReader reader(image, Lbn{0}, image.logical_blocks());
  while (const auto run = reader.next()) {
    if (run->kind == ContentRun::Kind::damaged) f(*run);
    progress(run->start.value() + run->blocks);
  }
}

}  // namespace uvdo
