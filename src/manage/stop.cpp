// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/stop.h"

#include "control/server_messages.h"

namespace uvdo {

Result<void> stop_server(const ServedVolume& served, bool force) {
  // Answered when the volume is saved; the server itself ends a moment later.
  auto answer = served.ask(StopRequest{force});
  if (!answer) return std::move(answer).error();
  wait_until_free(served.volume);  // so that what follows finds the volume unused
  return {};
}

}  // namespace uvdo
