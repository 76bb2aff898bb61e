// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo export: the logical device of a stopped volume as a sparse file, or onto a block device.
#include "manage/export.h"

#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/advice.h"
#include "cli/command.h"
#include "cli/damage_file.h"
#include "cli/progress.h"
#include "cli/without_journal.h"
#include "inspect/damage_list.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kShownErrors = 20;

struct ExportArguments {
  std::string volume;
  ExportOptions options;
  bool without_journal = false;
  bool json = false;
  std::string damaged;  ///< where the damaged blocks are listed
};

/// What of the volume is not in the output, a sentence each.
std::vector<std::string> losses_of(const ExportReport& report, DamageFile& list,
                                   const ExportOptions& options) {
  std::vector<std::string> losses;
  if (report.damaged_blocks > 0) {
    losses.push_back(fmt::format(
        "{} blocks could not be read; they are zeros in {}", grouped(report.damaged_blocks),
        options.to_standard_output() ? "standard output" : options.output));
  }
  if (report.journal_loss) {
    list.remark(*report.journal_loss);
    losses.push_back(*report.journal_loss);
  }
  if (auto listed = list.finish(); !listed) losses.push_back(listed.error().message());
  return losses;
}

/// Says what was exported: as JSON, in words, or, where the contents go to standard output, there
/// where errors go.
int tell_end(const ExportArguments& arguments, const ExportReport& report,
             const std::vector<std::string>& losses) {
  const ExportOptions& options = arguments.options;
  if (arguments.json) {
    Json json = {{"volume", arguments.volume},
                 {"output", options.output},
                 {"logicalBytes", report.logical_bytes},
                 {"dataBytes", report.data_blocks * kBlockSize},
                 {"damagedBlocks", report.damaged_blocks}};
    for (const std::string& loss : losses) add_error(json, {Errc::corrupt, loss});
    print("{}\n", json_text(json, 2));
    return losses.empty() ? kExitOk : kExitFailed;
  }
  if (!options.to_standard_output()) {
    print("{} exported to {}, {} of it data\n", size_text(report.logical_bytes), options.output,
          size_text(report.data_blocks * kBlockSize));
  }
  int status = kExitOk;
  for (const std::string& loss : losses) status = fail(loss, Errc::corrupt);
  return status;
}

int export_contents(ExportArguments arguments) {
  ExportOptions& options = arguments.options;
  auto image = open_volume(arguments.volume, {.replay = !arguments.without_journal});
  if (!image) return fail(image.error());
  std::vector<std::string> others{arguments.volume};
  // The list must not be written into the output, nor into the volume.
  if (!options.to_standard_output()) others.push_back(options.output);
  auto list = DamageFile::open(arguments.damaged, others);
  if (!list) return fail(list.error());
  options.advise = advice_on;
  Progress progress;
  std::uint64_t problems = 0;
  // Called by the export when nothing speaks against it any more.
  options.begin = [&]() -> Result<void> {
    if (auto begun = list->begin(); !begun) return begun;
    if (const auto left_out = left_out_text(**image)) warn(*left_out);
    return {};
  };
  options.damaged = [&](const ContentRun& run) {
    list->add(run);
    // All of them are counted and listed; the terminal is told of the first.
    if (++problems > kShownErrors) return;
    progress.clear();
    warn(fmt::format("{}: {}", place_text(run), run.problem));
  };
  options.progress = [&](std::uint64_t done, std::uint64_t all, const ExportReport& so_far) {
    progress.show("export", done, all, size_text(so_far.data_blocks * kBlockSize) + " written");
  };
  auto report = export_volume(**image, options);
  progress.clear();
  if (!report) return fail(report.error());
  return tell_end(arguments, *report, losses_of(*report, *list, options));
}

}  // namespace

int run_export(int argc, char** argv) {
  ExportArguments arguments;
  Arguments app("Copies the contents of a stopped volume to a sparse file.", "uvdo export");
  ExportOptions& options = arguments.options;
  add_volume_argument(app, arguments.volume);
  app.option("-o,--output", options.output,
             "file to make, block device to overwrite, or - for standard output")
      .required();
  app.flag("--force", options.force, "overwrite the output if it exists");
  app.flag("--skip-errors", options.skip_errors,
           "go on where blocks are damaged, with zeros in their place (exit status 1)");
  DamageFile::add_to(app, arguments.damaged);
  app.flag(kWithoutJournalOrRaw, arguments.without_journal, kWithoutJournalHelp);
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (arguments.json && options.to_standard_output()) {
    return usage_error("--json and the contents cannot both go to standard output: name a file");
  }
  if (arguments.damaged == "-" && (arguments.json || options.to_standard_output())) {
    return usage_error(fmt::format("{} and --list-damaged - cannot both have standard output",
                                   arguments.json ? "--json" : "the contents"));
  }
  return export_contents(std::move(arguments));
}

}  // namespace uvdo
