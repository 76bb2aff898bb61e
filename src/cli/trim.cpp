// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo trim: gives the room of free blocks back to what lies beneath a volume.
#include "manage/trim.h"

#include "base/print.h"
#include "base/size_text.h"
#include "cli/served_volume.h"

namespace uvdo {

int run_trim(int argc, char** argv) {
  ServedVolumeOptions served;
  bool json = false;
  Arguments app(
      "Discards all free blocks of a volume, in use or stopped, in the file or device beneath it.",
      "uvdo trim");
  served.add_to(app);
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto done = trim_volume(served.given());
  if (!done) return fail(done.error());
  if (json) {
    print(
        "{}\n",
        json_text(
            {{"volume", served.volume}, {"discardedBytes", done->bytes}, {"runs", done->runs}}, 2));
    return kExitOk;
  }
  print("{}: {} of free blocks are discarded beneath it, in {} runs\n", served.volume,
        size_text(done->bytes), grouped(done->runs));
  return kExitOk;
}

}  // namespace uvdo
