// SPDX-License-Identifier: GPL-2.0-or-later
// Paths that mean the same in every folder.
#pragma once

#include <filesystem>
#include <string>

namespace uvdo {

/// The path from the root on, without "." and ".."; links in it are not followed.
[[nodiscard]] inline std::string absolute_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path found = std::filesystem::absolute(path, error);
  return error ? path : found.lexically_normal().string();
}

}  // namespace uvdo
