// SPDX-License-Identifier: GPL-2.0-or-later
// What is in a folder of /proc or /sys, where anything may go away at any moment.
#pragma once

#include <filesystem>
#include <vector>

namespace uvdo {

/// Sorted by name. As much as there is to be had: what cannot be read is empty, or ends early.
[[nodiscard]] std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

}  // namespace uvdo
