// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo suspend and uvdo resume: a served volume lets its device alone, and goes on.
#include <string>

#include "base/print.h"
#include "cli/served_volume.h"
#include "control/suspension_message.h"

namespace uvdo {
int run_suspend(int argc, char** argv) {
  ServedVolumeOptions served;
  bool no_flush = false;
  Arguments app(
      "Pauses a served volume: when the command returns, nothing uses the volume's file or block "
      "device until uvdo resume, and requests of clients wait.",
      "uvdo suspend");
  served.add_to(app);
  app.flag("--no-flush", no_flush, "do not save the volume; only what was answered is made stable");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = served.ask(SuspendRequest{!no_flush});
  if (!answer) return fail(answer.error().within(served.volume));
  print("{} is suspended; on its disk it is in state {}\n", served.volume, answer->state);
  return kExitOk;
}

int run_resume(int argc, char** argv) {
  ServedVolumeOptions served;
  Arguments app("Lets a suspended volume go on, on the device that is in its place now.",
                "uvdo resume");
  served.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = served.ask(ResumeRequest());
  return answer ? kExitOk : fail(answer.error().within(served.volume));
}

}  // namespace uvdo
