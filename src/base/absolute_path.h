// SPDX-License-Identifier: GPL-2.0-or-later
// Names of stores that mean the same in every folder.
#pragma once

#include <filesystem>
#include <string>

#include "base/store_name.h"

namespace uvdo {

/// The path from the root on, without "." and ".."; links in it are not followed. The URI of a
/// store means the same everywhere already.
[[nodiscard]] inline std::string absolute_path(const std::string& path) {
  if (!is_path(path)) return path;
  std::error_code error;
  const std::filesystem::path found = std::filesystem::absolute(path, error);
  return error ? path : found.lexically_normal().string();
}

}  // namespace uvdo
