// SPDX-License-Identifier: GPL-2.0-or-later
// Beginnings of long options that stand for the whole: "--hu" for "--human-readable".
#pragma once

#include <string>
#include <vector>

#include "arguments/arguments.h"

namespace uvdo {

/// The words of a command line with the long options of `app` written out; their values, words that
/// no option begins with and what follows "--" are as they were. invalid_argument: a beginning
/// several options have.
Result<std::vector<std::string>> with_full_options(const Arguments& app,
                                                   std::vector<std::string> words);

}  // namespace uvdo
