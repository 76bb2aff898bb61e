// SPDX-License-Identifier: GPL-2.0-or-later
// What to do about the obstacles that operations meet, in the options of the command line.
#pragma once

#include <string>

#include "manage/obstacle.h"

namespace uvdo {

/// The end of the error's sentence; empty where no option helps.
[[nodiscard]] std::string advice_on(const Obstacle& obstacle);

}  // namespace uvdo
