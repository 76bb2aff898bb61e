// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo lease: the record by which machines see whether another one has the volume.
#include <string>

#include "base/print.h"
#include "cli/command.h"
#include "manage/owner_lease.h"

namespace uvdo {
namespace {

const char* state_text(OwnerRecord::State state) {
  switch (state) {
    case OwnerRecord::State::free: return "free";
    case OwnerRecord::State::claimed: return "claimed";
    case OwnerRecord::State::held: return "held";
    case OwnerRecord::State::elsewhere: return "elsewhere";
  }
  return "unknown";
}

int show(const std::string& volume, bool json) {
  auto record = owner_record_of(volume);
  if (!record) return fail(record.error());
  if (json) {
    Json out = {{"volume", volume}, {"lease", nullptr}};
    if (*record) {
      out["lease"] = {{"seconds", (*record)->lease_seconds},
                      {"state", state_text((*record)->state)},
                      {"host", (*record)->host},
                      {"process", (*record)->process},
                      {"generation", (*record)->generation},
                      {"beat", (*record)->beat}};
    }
    print("{}\n", out.dump(2));
    return kExitOk;
  }
  if (!*record) {
    print("{} has no record of its owner: nothing keeps servers on several machines apart\n",
          volume);
    return kExitOk;
  }
  const OwnerRecord& found = **record;
  print("{} has a lease of {} seconds and is {}", volume, found.lease_seconds,
        state_text(found.state));
  if (found.state != OwnerRecord::State::free) {
    print(" by {} (process {})", found.host, found.process);
  }
  print("\n");
  return kExitOk;
}

}  // namespace

int run_lease(int argc, char** argv) {
  std::string volume;
  std::optional<std::uint64_t> seconds;
  bool off = false;
  bool force = false;
  bool json = false;
  Arguments app(
      "Shows the record by which servers on several machines see who has a volume, and gives the "
      "volume one or ends it.",
      "uvdo lease");
  add_volume_argument(app, volume);
  app.option("--seconds", seconds,
             "from now on there is a record, with a lease of so long: 5 to 3600");
  app.flag("--off", off, "from now on there is none");
  app.flag("--force", force, "also if a server seems to have the volume, or the record is damaged");
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (seconds && (*seconds < kShortestLease || *seconds > kLongestLease)) {
    return usage_error("--seconds: a lease has 5 to 3600 seconds");
  }
  if (seconds && off) return usage_error("--seconds and --off exclude each other");
  if (force && !seconds && !off) return usage_error("--force goes with --seconds or --off");
  if (seconds || off) {
    LeaseChange change;
    change.force = force;
    if (seconds) change.seconds = static_cast<std::uint32_t>(*seconds);
    if (auto done = change_owner_lease(volume, change); !done) return fail(done.error());
  }
  return show(volume, json);
}

}  // namespace uvdo
