// SPDX-License-Identifier: GPL-2.0-or-later
// The options that say what device of this machine a volume becomes.
#pragma once

#include <string>

#include "arguments/arguments.h"
#include "control/device_message.h"

namespace uvdo {

struct DeviceOptions {
  std::string kind = "auto";
  std::string name;
  std::string offset;
  std::string size;
  std::string block_size = "512";

  void add_to(Arguments& app);
  /// What they ask for; invalid_argument names the option.
  [[nodiscard]] Result<AttachRequest> request() const;
};

/// The kind that is called so; none for "auto". `option` is named in an error.
Result<std::optional<DeviceKind>> parse_device_kind(std::string_view option,
                                                    const std::string& text);

}  // namespace uvdo
