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

constexpr std::array<std::string_view, 1> kForceFlag{"--force"};
constexpr std::array<std::string_view, 1> kForceRebuildFlag{"--forceRebuild"};
constexpr std::array<std::string_view, 1> kPendingFlag{"--pending"};
constexpr std::array<std::string_view, 1> kDevice{"--device"};
constexpr std::array<std::string_view, 1> kPolicyOption{"--writePolicy"};
constexpr std::array<std::string_view, 1> kSizeOption{"--vdoLogicalSize"};

constexpr VdoVerb on_chosen(std::string_view name, std::string_view summary) {
  return {.name = name, .summary = summary, .volumes = VolumeChoice::name_or_all};
}

constexpr std::array kVerbs{
    RunnableVerb{on_chosen("activate", "Allows volumes to be started."), vdo_activate},
    RunnableVerb{{.name = "changeWritePolicy",
                  .summary = "Changes when writes of running volumes are acknowledged.",
                  .volumes = VolumeChoice::name_or_all,
                  .settings = SettingVerb::change_write_policy,
                  .required = kPolicyOption},
                 vdo_change_write_policy},
    RunnableVerb{{.name = "convert",
                  .summary = "Makes room for the metadata of LVM in front of a volume.",
                  .volumes = VolumeChoice::name,
                  .required = kForceFlag,
                  .flags = kForceFlag},
                 vdo_convert},
    RunnableVerb{{.name = "create",
                  .summary = "Makes a volume on a block device, and starts it.",
                  .volumes = VolumeChoice::name,
                  .settings = SettingVerb::create,
                  .required = kDevice,
                  .flags = kForceFlag},
                 vdo_create},
    RunnableVerb{on_chosen("deactivate", "Keeps volumes from being started."), vdo_deactivate},
    RunnableVerb{on_chosen("disableCompression", "Stops the compression of new data."),
                 vdo_disable_compression},
    RunnableVerb{on_chosen("disableDeduplication", "Stops the deduplication of new data."),
                 vdo_disable_deduplication},
    RunnableVerb{on_chosen("enableCompression", "Has new data compressed."),
                 vdo_enable_compression},
    RunnableVerb{on_chosen("enableDeduplication", "Has new data deduplicated."),
                 vdo_enable_deduplication},
    RunnableVerb{{.name = "growLogical",
                  .summary = "Makes what a running volume offers larger.",
                  .volumes = VolumeChoice::name,
                  .settings = SettingVerb::grow_logical,
                  .required = kSizeOption},
                 vdo_grow_logical},
    RunnableVerb{{.name = "growPhysical",
                  .summary = "Has a running volume take all of its device, which has grown.",
                  .volumes = VolumeChoice::name},
                 vdo_grow_physical},
    RunnableVerb{{.name = "import",
                  .summary = "Takes a volume that exists into the configuration file.",
                  .volumes = VolumeChoice::name,
                  .settings = SettingVerb::import,
                  .required = kDevice},
                 vdo_import},
    RunnableVerb{{.name = "list",
                  .summary = "Lists the volumes that are started.",
                  .volumes = VolumeChoice::list},
                 vdo_list},
    RunnableVerb{{.name = "modify",
                  .summary = "Changes settings of volumes from their next start on.",
                  .volumes = VolumeChoice::name_or_all,
                  .settings = SettingVerb::modify},
                 vdo_modify},
    RunnableVerb{{.name = "printConfigFile",
                  .summary = "Prints the configuration file.",
                  .volumes = VolumeChoice::none},
                 vdo_print_config_file},
    RunnableVerb{{.name = "remove",
                  .summary = "Removes volumes and all that they hold.",
                  .volumes = VolumeChoice::name_or_all,
                  .flags = kForceFlag},
                 vdo_remove},
    RunnableVerb{{.name = "start",
                  .summary = "Starts volumes that are activated.",
                  .volumes = VolumeChoice::name_or_all,
                  .flags = kForceRebuildFlag},
                 vdo_start},
    RunnableVerb{{.name = "status",
                  .summary = "Tells of volumes, as YAML.",
                  .volumes = VolumeChoice::optional,
                  .flags = kPendingFlag},
                 vdo_status},
    RunnableVerb{{.name = "stop",
                  .summary = "Stops volumes that are running.",
                  .volumes = VolumeChoice::name_or_all,
                  .flags = kForceFlag},
                 vdo_stop},
    RunnableVerb{
        {.name = "version", .summary = "Prints the version.", .volumes = VolumeChoice::none},
        vdo_version},
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
