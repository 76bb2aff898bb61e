// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/damage_list.h"

#include <fmt/core.h>

namespace uvdo {

std::string place_text(const ContentRun& run) {
  if (run.blocks == 1) return fmt::format("logical block {}", run.start.value());
  return fmt::format("logical blocks {} to {}", run.start.value(),
                     (run.start + (run.blocks - 1)).value());
}

std::uint64_t find_damaged_blocks(VolumeImage& image,
                                  const std::function<void(const ContentRun&)>& f,
                                  const std::function<void(std::uint64_t)>& progress) {
  std::uint64_t damaged = 0;
  ContentReader reader(image, Lbn{0}, image.logical_blocks());
  while (const auto run = reader.next()) {
    if (run->kind == ContentRun::Kind::damaged) {
      damaged += run->blocks;
      f(*run);
    }
    progress(run->start.value() + run->blocks);
  }
  return damaged;
}

}  // namespace uvdo
