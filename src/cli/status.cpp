// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo status: in sentences, whether all is well with a volume, and what to do if not.
#include <string>

#include <fmt/core.h>

#include "base/print.h"
#include "cli/open_volume.h"
#include "cli/served_volume.h"

namespace uvdo {
namespace {

constexpr int kExitNotServed = 3;

/// Of a volume that nobody serves, by what its disk says.
Result<Json> stopped_status(const std::string& path) {
  auto image = open_volume(path);
  if (!image && image.error().code() == Errc::unsupported) {
    // A journal of the old form cannot be replayed, but the state can be told.
    image = open_volume(path, {.replay = false});
  }
  if (!image) return std::move(image).error();
  const VolumeState state = (*image)->super_block().state;
  Json status = {{"served", false},
                 {"state", std::string(name_of(state))},
                 {"well", true},
                 {"summary", fmt::format("{} is not being served; it is {} ({}).", path,
                                         name_of(state), explain(state))},
                 {"troubles", Json::array()},
                 {"notes", Json::array()}};
  const auto add_trouble = [&](std::string_view problem, std::string_view advice) {
    status["well"] = false;
    status["troubles"].push_back({{"problem", problem}, {"advice", advice}});
  };
  if (state == VolumeState::read_only_mode) {
    add_trouble(
        "An error has left the volume read-only.",
        "Copy what it holds (uvdo export), then see with uvdo rebuild --dry-run what making "
        "it writable again would cost.");
  }
  if (const auto loss = journal_loss_text(**image)) {
    add_trouble(fmt::format("Of what it holds something is lost: {}.", *loss),
                "See with uvdo check what else is damaged; compare what matters with a backup.");
  }
  if ((*image)->is_truncated()) {
    add_trouble("The file or device is smaller than the volume on it.",
                "Give it back the size that it had (uvdo info tells it) before anything else.");
  }
  return status;
}

void print_status(const Json& status) {
  print("{}\n", printable(status.value("summary", "")));
  for (const Json& trouble : status.value("troubles", Json::array())) {
    print("{}\n  {}\n", printable(trouble.value("problem", "")),
          printable(trouble.value("advice", "")));
  }
  for (const Json& note : status.value("notes", Json::array())) {
    if (note.is_string()) print("{}\n", printable(note.get<std::string>()));
  }
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
  auto answer = served.ask({{"command", "status"}});
  const bool is_served = answer.ok();
  if (!answer && answer.error().code() == Errc::not_found) answer = stopped_status(served.volume);
  if (!answer) return fail(answer.error());
  Json status = std::move(*answer);
  if (!status.is_object() || !status.contains("well") || !status["well"].is_boolean()) {
    return fail("the server's answer cannot be understood");
  }
  if (is_served) status["served"] = true;
  if (json) {
    print("{}\n", json_text(status, 2));
  } else {
    print_status(status);
  }
  if (!status["well"].get<bool>()) return kExitFailed;
  return is_served ? kExitOk : kExitNotServed;
}

}  // namespace uvdo
