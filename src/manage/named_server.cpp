// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/named_server.h"

#include <fmt/core.h>

#include "control/server_messages.h"

namespace uvdo {

Result<ServedVolume> server_of(const NamedVolume& volume, ServedVolume asked) {
  asked.volume = volume.storage;
  auto info = asked.ask(InfoRequest());
  if (!info) return std::move(info).error();
  if (info->uuid == to_text(volume.uuid)) return asked;
  return Error(Errc::not_found,
               fmt::format("the volume \"{}\" is not being served: what is served at {} is "
                           "another one, with the UUID {}",
                           volume.name, volume.storage, info->uuid));
}

}  // namespace uvdo
