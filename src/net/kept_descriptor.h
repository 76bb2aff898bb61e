// SPDX-License-Identifier: GPL-2.0-or-later
// A descriptor that outlives the process it belongs to, with the name by which the next one knows
// what it is.
#pragma once

#include <string>

#include "base/file_descriptor.h"

namespace uvdo {

struct KeptDescriptor {
  std::string name;  ///< printable, without ':' and line ends
  FileDescriptor fd;
};

}  // namespace uvdo
