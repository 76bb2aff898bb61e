// SPDX-License-Identifier: GPL-2.0-or-later
// The device-mapper devices of this machine, and the messages that their targets answer: what
// `dmsetup ls` and `dmsetup message` tell. For a process with CAP_SYS_ADMIN alone.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"

namespace uvdo {

/// Where the kernel's device-mapper is asked.
inline constexpr const char* kMapperControl = "/dev/mapper/control";

struct MappedDevice {
  std::string name;  ///< "vdo1", of /dev/mapper/vdo1
  dev_t device = 0;
};

/// Those whose first target is of `type` ("vdo"). None where the kernel has no device-mapper;
/// an error if this process may not ask it.
Result<std::vector<MappedDevice>> mapped_devices(const std::string& type,
                                                 const std::string& control = kMapperControl);

/// What the first target of a device answers to `message`. An error if it refuses it.
Result<std::string> send_target_message(const MappedDevice& device, const std::string& message,
                                        const std::string& control = kMapperControl);

}  // namespace uvdo
