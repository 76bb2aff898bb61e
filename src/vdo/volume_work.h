// SPDX-License-Identifier: GPL-2.0-or-later
// A verb at work on a volume of the configuration file, or on several, one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "registry/registry.h"
#include "vdo/command_line.h"
#include "vdo/conf_file.h"
#include "vdo/exit_status.h"
#include "vdo/messages.h"

namespace uvdo {

/// What a verb has at hand. The file is locked as long as it works.
struct VerbContext {
  const VdoRequest& request;
  const Messages& messages;
  Registry registry;
  LockedConfFile file;
};

/// What a verb does with the configuration file.
enum class ConfUse : std::uint8_t {
  changed,   ///< it does nothing where the file could not be written afterwards
  as_it_is,  ///< it has its work to do whatever the file's version is
};

/// Opens the file; nothing if that failed, or the file is of a version that is not written and
/// would have to be, and the user was told.
std::optional<VerbContext> open_context(const VdoRequest& request, const Messages& messages,
                                        ConfUse use = ConfUse::changed);

/// Writes the configuration file.
Outcome save(VerbContext& context);

/// A verb's work on one volume, which is in the file.
using VolumeWork =
    std::function<Outcome(VerbContext& context, const std::string& name, ConfVolume& volume)>;

/// Does the work on the volume called --name, or on all: an error is told, and the others are gone
/// on with. The status of the first failure.
ExitStatus for_chosen(VerbContext& context, const VolumeWork& work);
/// The same, from the opening of the file on.
ExitStatus for_chosen(const VdoRequest& request, const Messages& messages, const VolumeWork& work,
                      ConfUse use = ConfUse::changed);

/// "VDO volume NAME not found".
[[nodiscard]] Failure volume_not_found(const std::string& name);
/// Tells the failure; its status.
ExitStatus tell(const Messages& messages, const Failure& failure);

}  // namespace uvdo
