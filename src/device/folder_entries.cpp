// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/folder_entries.h"

#include <algorithm>
#include <system_error>

namespace uvdo {

namespace fs = std::filesystem;

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  // Not a range-based for, whose steps throw.
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    entries.push_back(at->path());
  }
  std::ranges::sort(entries);
  return entries;
}

}  // namespace uvdo
