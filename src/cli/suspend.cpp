// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo suspend and uvdo resume: a served volume lets its device alone, and goes on.
#include <string>

#include "base/print.h"
#include "cli/served_volume.h"

namespace uvdo {
namespace {

struct Server {
  std::string volume;
  std::string control;
  AnswerPatience patience;

  void add_to(Arguments& app) {
    add_volume_argument(app, volume);
    app.option("--control", control, "the control socket that uvdo serve was given");
    patience.add_to(app);
  }
  [[nodiscard]] Result<Json> ask(Json request) const {
    auto answer = ask_volume(volume, std::move(request), control, patience.limit());
    if (!answer) return std::move(answer).error().within(volume);
    return answer;
  }
};

}  // namespace

int run_suspend(int argc, char** argv) {
  Server server;
  bool no_flush = false;
  Arguments app(
      "Pauses a served volume: when the command returns, nothing uses the volume's file or block "
      "device until uvdo resume, and requests of clients wait.",
      "uvdo suspend");
  server.add_to(app);
  app.flag("--no-flush", no_flush, "do not save the volume; only what was answered is made stable");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = server.ask({{"command", "suspend"}, {"flush", !no_flush}});
  if (!answer) return fail(answer.error());
  print("{} is suspended; on its disk it is in state {}\n", server.volume,
        answer->value("state", "unknown"));
  return kExitOk;
}

int run_resume(int argc, char** argv) {
  Server server;
  Arguments app("Lets a suspended volume go on, on the device that is in its place now.",
                "uvdo resume");
  server.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = server.ask({{"command", "resume"}});
  return answer ? kExitOk : fail(answer.error());
}

}  // namespace uvdo
