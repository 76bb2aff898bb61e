// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo status: in sentences, whether all is well with a volume, and what to do if not.
#include <optional>
#include <string>

#include <fmt/core.h>

#include "base/print.h"
#include "cli/open_volume.h"
#include "cli/served_volume.h"
#include "control/status_message.h"

namespace uvdo {
namespace {

constexpr int kExitNotServed = 3;

/// What is told of a volume besides, served or not: in JSON alone.
struct VolumeStatus {
  StatusAnswer status;
  std::optional<VolumeState> state{};  ///< of one that nobody serves
  [[nodiscard]] bool is_served() const { return !state; }
};

/// Of a volume that nobody serves, by what its disk says.
Result<VolumeStatus> stopped_status(const std::string& path) {
  auto image = open_volume(path);
  if (!image && image.error().code() == Errc::unsupported) {
    // A journal of the old form cannot be replayed, but the state can be told.
    image = open_volume(path, {.replay = false});
  }
  if (!image) return std::move(image).error();
  const VolumeState state = (*image)->super_block().state;
  VolumeStatus found;
  found.state = state;
  Health& health = found.status.health;
  health.summary =
      fmt::format("{} is not being served; it is {} ({}).", path, name_of(state), explain(state));
  if (state == VolumeState::read_only_mode) {
    health.troubles.push_back(
        {"An error has left the volume read-only.",
         "Copy what it holds (uvdo export), then see with uvdo rebuild --dry-run what making "
         "it writable again would cost."});
  }
  if (const auto loss = journal_loss_text(**image)) {
    health.troubles.push_back(
        {fmt::format("Of what it holds something is lost: {}.", *loss),
         "See with uvdo check what else is damaged; compare what matters with a backup."});
  }
  if ((*image)->is_truncated()) {
    health.troubles.push_back(
        {"The file or device is smaller than the volume on it.",
         "Give it back the size that it had (uvdo info tells it) before anything else."});
  }
  found.status.is_well = health.is_well();
  return found;
}

Result<VolumeStatus> status_of(const ServedVolume& served) {
  auto answer = served.ask(StatusRequest());
  if (answer) return VolumeStatus{std::move(*answer)};
  if (answer.error().code() == Errc::not_found) return stopped_status(served.volume);
  return std::move(answer).error();
}

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
  ServedVolume served;
  bool json = false;
  Arguments app("Tells in sentences whether all is well with a volume, and what to do if not.",
                "uvdo status");
  served.add_to(app);
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto told = status_of(served);
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
