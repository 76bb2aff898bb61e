// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/dedupe_index.h"

namespace uvdo {

std::string_view name_of(IndexState state) {
  switch (state) {
    case IndexState::closed: return "closed";
    case IndexState::closing: return "closing";
    case IndexState::error: return "error";
    case IndexState::offline: return "offline";
    case IndexState::online: return "online";
    case IndexState::opening: return "opening";
    case IndexState::suspended: return "suspended";
    case IndexState::unknown: return "unknown";
  }
  return "unknown";
}

}  // namespace uvdo
