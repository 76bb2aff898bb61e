// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/vdo_command.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <string>

#include <fmt/core.h>

#include "base/print.h"
#include "vdo/verbs.h"

namespace uvdo {
namespace {

struct RunnableVerb {
  VdoVerb verb;
  ExitStatus (*run)(const VdoRequest& request, const Messages& messages);
};

constexpr std::array kVerbs{
    RunnableVerb{
        {.name = "version", .summary = "Prints the version.", .volumes = VolumeChoice::none},
        run_version},
};

std::string help_text() {
  std::string text =
      "vdo manages volumes as the command of that name did on Red Hat Enterprise Linux 7 and 8; "
      "uvdo serves them.\n\n"
      "Usage: vdo COMMAND [OPTIONS]\n"
      "       vdo COMMAND --help\n\n"
      "Commands:\n";
  for (const auto& [verb, run] : kVerbs)
    text += fmt::format("  {:<22} {}\n", verb.name, verb.summary);
  return text + "\nOptions:\n  -h, --help  show this text\n";
}

ExitStatus run_verb(const RunnableVerb& verb, int argc, char** argv) {
  auto parsed = parse_command_line(verb.verb, argc, argv);
  if (const auto* status = std::get_if<ExitStatus>(&parsed)) return *status;
  const VdoRequest& request = std::get<VdoRequest>(parsed);
  auto messages = Messages::open({request.log_file, request.is_verbose});
  if (!messages) {
    print_error("vdo: ERROR - {}\n", messages.error().message());
    return ExitStatus::processing;
  }
  return verb.run(request, *messages);
}

ExitStatus run(int argc, char** argv) {
  if (argc < 2) {
    print_error("{}", help_text());
    return ExitStatus::usage;
  }
  const std::string_view name = argv[1];
  if (name == "--help" || name == "-h") {
    print("{}", help_text());
    return ExitStatus::success;
  }
  const auto* found =
      std::ranges::find(kVerbs, name, [](const RunnableVerb& each) { return each.verb.name; });
  if (found == kVerbs.end()) {
    print_error("vdo: ERROR - there is no command \"{}\"; see vdo --help\n", name);
    return ExitStatus::usage;
  }
  // What has begun to change a volume is not ended by a reader of its messages that goes away.
  std::signal(SIGPIPE, SIG_IGN);
  return run_verb(*found, argc - 1, argv + 1);
}

}  // namespace

int run_vdo(int argc, char** argv) {
  const ExitStatus status = run(argc, argv);
  const auto arrived = finish_output();
  if (arrived || status != ExitStatus::success) return static_cast<int>(status);
  print_error("vdo: ERROR - {}\n", arrived.error().message());
  return static_cast<int>(ExitStatus::processing);
}

}  // namespace uvdo
