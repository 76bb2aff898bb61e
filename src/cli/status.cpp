// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo status: in sentences, whether all is well with a volume, and what to do if not.
#include <string>

#include "base/print.h"
#include "cli/served_volume.h"
#include "manage/look.h"

namespace uvdo {
namespace {

// Of a volume that is well and that nobody serves (docs/watching.md).
constexpr int kExitNotServed = 3;

void print_json(const VolumeStatus& told) {
  Json json = Json::object();
  if (told.state) json = {{"served", false}, {"state", std::string(name_of(*told.state))}};
  json.update(fields_json(told.status));
  if (told.is_served()) json["served"] = true;
  print("{}\n", json_text(json, 2));
}

void print_health(const Health& health) {
  print("{}\n", printable(health.summary));
  for (const Trouble& trouble : health.troubles) {
    print("{}\n  {}\n", printable(trouble.problem), printable(trouble.advice));
  }
  for (const std::string& note : health.notes) print("{}\n", printable(note));
}

}  // namespace

int run_status(int argc, char** argv) {
  ServedVolumeOptions served;
  bool json = false;
  Arguments app("Tells in sentences whether all is well with a volume, and what to do if not.",
                "uvdo status");
  served.add_to(app);
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto told = volume_status(served.given());
  if (!told) return fail(told.error());
  if (json) {
    print_json(*told);
  } else {
    print_health(told->status.health);
  }
  if (!told->status.is_well) return kExitFailed;
  return told->is_served() ? kExitOk : kExitNotServed;
}

}  // namespace uvdo
