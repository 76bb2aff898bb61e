// SPDX-License-Identifier: GPL-2.0-or-later
// The subjects that the simulation program knows, by name.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "subject.h"

namespace uvdo::sim {

/// The default first.
[[nodiscard]] std::vector<std::string_view> subject_names();
/// The subject of that name, or null.
[[nodiscard]] std::unique_ptr<Subject> make_subject(std::string_view name);

}  // namespace uvdo::sim
