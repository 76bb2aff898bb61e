// SPDX-License-Identifier: GPL-2.0-or-later
// The size of a file that is made anew.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// Makes a file of `size` zero bytes, whatever it held before. no_space: its file system has no
/// files of that size; `advice` is added to the sentence.
Result<void> make_file_empty(int fd, const std::string& path, std::uint64_t size,
                             std::string_view advice = {});

}  // namespace uvdo
