// SPDX-License-Identifier: GPL-2.0-or-later
// The devices that a server has made, in a file of the runtime folder: for the server that follows
// one that was killed. It is gone after a reboot, as the devices are.
#pragma once

#include <string>
#include <vector>

#include "control/device_message.h"

namespace uvdo {

class AttachmentState {
 public:
  /// At `path`, for the volume `volume_id`; without a path nothing is kept.
  AttachmentState(std::string path, std::string volume_id)
      : path_(std::move(path)), volume_id_(std::move(volume_id)) {}

  /// The devices of this volume; none if there is no file, or one of another volume, whose file
  /// number this volume was given. An error if it is damaged.
  [[nodiscard]] Result<std::vector<AttachedDevice>> load() const;
  /// The devices at `path`, of whatever volume, and that volume: for who ends what has no server.
  static Result<std::vector<AttachedDevice>> load_any(const std::string& path,
                                                      std::string& volume_id);
  /// Replaces the file as a whole; removes it where there are no devices.
  Result<void> save(const std::vector<AttachedDevice>& devices) const;

 private:
  std::string path_;
  std::string volume_id_;
};

}  // namespace uvdo
