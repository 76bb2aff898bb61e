// SPDX-License-Identifier: GPL-2.0-or-later
// Where the program runs that goes on in the place of a server.
#pragma once

#include <cstdint>

namespace uvdo {

enum class NextServer : std::uint8_t {
  same_process,
  another_process,  ///< a child, which begins when this process has ended; nobody may wait for this
                    ///< one then
};

}  // namespace uvdo
