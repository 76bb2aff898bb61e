// SPDX-License-Identifier: GPL-2.0-or-later
// The files of the status page, src/watch/web, which the build puts into the program
// (cmake/embedded_files.cmake).
#pragma once

#include <span>
#include <string_view>

namespace uvdo {

struct WebFile {
  std::string_view name;  ///< "page.css"
  std::string_view text;  ///< UTF-8
};

[[nodiscard]] std::span<const WebFile> web_files();

}  // namespace uvdo
