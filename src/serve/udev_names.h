// SPDX-License-Identifier: GPL-2.0-or-later
// What udev is told of the names of our devices, so that its rule (90-uvdo.rules) makes the same
// links and systemd has units for them: a file for each device, "UVDO_NAME=archive", and then a
// change of the device, upon which the rule reads the file. Where there is no udev nobody reads it.
#pragma once

#include <string>

#include "base/result.h"

namespace uvdo {

class UdevNames {
 public:
  /// Files are in `folder`, which is made as needed; an empty one: nothing is told.
  explicit UdevNames(std::string folder) : folder_(std::move(folder)) {}

  /// The device at `device`, "/dev/ublkb0", is called /dev/uvdo/NAME from now on, and
  /// /dev/mapper/MAPPER_NAME unless that is empty. Errors: the file cannot be written.
  Result<void> tell(const std::string& device, const std::string& name,
                    const std::string& mapper_name) const;
  /// It has no name any more.
  void forget(const std::string& device) const;

 private:
  std::string folder_;
};

}  // namespace uvdo
