// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/volume_work.h"

#include <utility>
#include <vector>

#include <fmt/core.h>
#include <unistd.h>

namespace uvdo {

std::optional<VerbContext> open_context(const VdoRequest& request, const Messages& messages,
                                        ConfUse use) {
  const auto waiting = [&] {
    messages.info(fmt::format("waiting for another vdo that has {}", request.conf_file));
  };
  auto file = LockedConfFile::open(request.conf_file, waiting);
  if (!file) {
    std::string text = file.error().message();
    if (geteuid() != 0) {
      text += "; this takes the rights of root, or a file of your own (--confFile)";
    }
    messages.error(text);
    return std::nullopt;
  }
  if (file->configuration().version != kConfVersion) {
    const std::string text =
        fmt::format("{} is of version {}, and this program writes {} only", request.conf_file,
                    file->configuration().version, kConfVersion);
    if (use == ConfUse::changed) {
      messages.error(text + ": nothing was done");
      return std::nullopt;
    }
    messages.warn(text + ": it is read, but will not be changed");
  }
  return VerbContext{request, messages, Registry::of_environment(), std::move(*file)};
}

Outcome save(VerbContext& context) {
  auto saved = context.file.save();
  if (saved) return {};
  return Failure{ExitStatus::processing, saved.error().message()};
}

Failure volume_not_found(const std::string& name) {
  return {ExitStatus::user, fmt::format("VDO volume {} not found", name)};
}

ExitStatus tell(const Messages& messages, const Failure& failure) {
  messages.error(failure);
  return failure.status;
}

ExitStatus for_chosen(VerbContext& context, const VolumeWork& work) {
  auto& volumes = context.file.configuration().volumes;
  std::vector<std::string> names;
  if (context.request.all) {
    for (const auto& [name, volume] : volumes) names.push_back(name);
  } else {
    names.push_back(context.request.name);
  }
  ExitStatus status = ExitStatus::success;
  for (const std::string& name : names) {
    const auto found = volumes.find(name);
    const Outcome failed = found == volumes.end() ? Outcome(volume_not_found(name))
                                                  : work(context, name, found->second);
    if (!failed) continue;
    tell(context.messages, *failed);
    if (status == ExitStatus::success) status = failed->status;
  }
  return status;
}

ExitStatus for_chosen(const VdoRequest& request, const Messages& messages, const VolumeWork& work,
                      ConfUse use) {
  auto context = open_context(request, messages, use);
  return context ? for_chosen(*context, work) : ExitStatus::processing;
}

}  // namespace uvdo
