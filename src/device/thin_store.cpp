// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/thin_store.h"

#include <algorithm>

#include <sys/stat.h>

#include "base/store_name.h"
#include "device/mapper_table.h"

namespace uvdo {

bool is_thin(const BackingStore& store) {
  switch (kind_of_store(store.name())) {
    case StoreKind::rbd: return true;
    case StoreKind::nbd: return false;  // nobody says what lies behind it
    case StoreKind::path: break;
  }
  const auto state = store.look();
  if (state && state->is_file) return state->allocated < state->size;
  struct stat status {};
  if (stat(store.name().c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return false;
  const auto table = ask_map_table("/dev/mapper/control", status.st_rdev);
  return table &&
         std::ranges::any_of(*table, [](const MapTarget& target) { return target.type == "thin"; });
}

}  // namespace uvdo
