// SPDX-License-Identifier: GPL-2.0-or-later
// What is wrong with a component header.
#include "format/component_header.h"

#include <fmt/core.h>

namespace uvdo {

Result<void> expect_component_header(const ComponentHeader& found, const ComponentHeader& wanted,
                                     std::string_view what) {
  // The id first: what the version and size of something else are means nothing.
  if (found.id != wanted.id) {
    return Error(Errc::corrupt,
                 fmt::format("the {} is damaged: its header has component id {}, not {}", what,
                             found.id, wanted.id));
  }
  if (found.major_version != wanted.major_version || found.minor_version != wanted.minor_version) {
    return Error(Errc::unsupported,
                 fmt::format("the {} has version {}.{}, but only {}.{} is supported", what,
                             found.major_version, found.minor_version, wanted.major_version,
                             wanted.minor_version));
  }
  if (found.size != wanted.size) {
    return Error(Errc::corrupt,
                 fmt::format("the {} is damaged: its header gives a size of {} bytes, not {}", what,
                             found.size, wanted.size));
  }
  return {};
}

}  // namespace uvdo
