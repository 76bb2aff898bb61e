// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/advice.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

std::string advice_on_slabs(const Obstacle& obstacle) {
  if (obstacle.slab_bits == 0) return {};
  if (obstacle.needed_bytes == 0) {
    return fmt::format("; --slab-bits {} would fit", obstacle.slab_bits);
  }
  return fmt::format("; with --slab-bits {}, the smallest, it needs {} bytes", obstacle.slab_bits,
                     obstacle.needed_bytes);
}

}  // namespace

std::string advice_on(const Obstacle& obstacle) {
  switch (obstacle.kind) {
    case Obstacle::Kind::no_file: return "; give --size to create a file";
    case Obstacle::Kind::not_a_file: return ": --size is for files to be created";
    case Obstacle::Kind::file_exists:
      return "; leave --size away to format it as it is, or give --force to replace it";
    case Obstacle::Kind::holds_something:
    case Obstacle::Kind::output_exists: return "; give --force to overwrite it";
    case Obstacle::Kind::too_small: return advice_on_slabs(obstacle);
    case Obstacle::Kind::too_much_memory:
      return "; give a smaller --logical-size or --index-memory, or format it where there is more";
    case Obstacle::Kind::cannot_preallocate: return "; leave --preallocate away";
    case Obstacle::Kind::no_file_to_preallocate: return ": --preallocate is for files";
    case Obstacle::Kind::damaged_blocks:
      return "; give --skip-errors to export the rest, with zeros there";
    case Obstacle::Kind::unreadable_metadata: return "; uvdo check tells what";
    case Obstacle::Kind::damaged_map: return "; uvdo check tells more";
    case Obstacle::Kind::needs_no_rebuild: return "; --force does one all the same";
    case Obstacle::Kind::would_lose_data:
      return "; copy what can still be read first (uvdo export), then add --yes";
  }
  return {};
}

}  // namespace uvdo
