// SPDX-License-Identifier: GPL-2.0-or-later
// The server of a named volume, which is known by what it serves and not by where: a disk may hold
// another volume by now, which has a server of its own.
#pragma once

#include "manage/served_volume.h"
#include "registry/named_volume.h"

namespace uvdo {

/// How the server of the volume is asked, at the place where `volume` says that it is; `asked` may
/// have a control socket and a patience. not_found: nobody serves the volume, whatever else is
/// served there; other errors: its server does not answer.
Result<ServedVolume> server_of(const NamedVolume& volume, ServedVolume asked = {});

}  // namespace uvdo
