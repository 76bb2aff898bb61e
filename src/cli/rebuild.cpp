// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo rebuild: makes a volume writable again that an error has left read-only, after it has said
// what that would cost.
#include "manage/rebuild.h"

#include <string>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/advice.h"
#include "cli/command.h"

namespace uvdo {
namespace {

struct RebuildArguments {
  std::string volume;
  bool dry_run = false;
  bool yes = false;
  bool force = false;
  bool json = false;
};

void print_count(std::uint64_t count, std::string_view what) {
  if (count > 0) print("  {} {}\n", grouped(count), what);
}

void print_report(const RebuildReport& report) {
  for (const std::string& line : report.details) print("  {}\n", line);
  print(
      "A rebuild keeps {} logical blocks in {} data blocks, and applies {} journal "
      "entries.\n",
      grouped(report.logical_blocks_used), grouped(report.data_blocks_used),
      grouped(report.journal_entries));
  if (report.losses() == 0) {
    print("Nothing would be lost.\n");
    return;
  }
  print("It would give up:\n");
  print_count(report.journal_blocks_skipped, "journal blocks that are missing or damaged");
  print_count(report.journal_entries_skipped, "journal entries that are not valid");
  print_count(report.pages_lost, "block map pages (each maps up to 812 blocks) that are damaged");
  print_count(report.subtrees_cleared, "entries of the block map that lead to no page");
  print_count(report.invalid_mappings, "logical blocks whose mapping makes no sense");
  print_count(report.over_referenced, "logical blocks that share a block that cannot be shared");
}

Json report_json(const RebuildReport& report) {
  return {{"logicalBlocksUsed", report.logical_blocks_used},
          {"dataBlocksUsed", report.data_blocks_used},
          {"blockMapBlocks", report.block_map_blocks},
          {"journalEntries", report.journal_entries},
          {"losses", report.losses()},
          {"lost",
           {{"journalBlocks", report.journal_blocks_skipped},
            {"journalEntries", report.journal_entries_skipped},
            {"blockMapPages", report.pages_lost},
            {"subtrees", report.subtrees_cleared},
            {"invalidMappings", report.invalid_mappings},
            {"overReferenced", report.over_referenced}}},
          {"details", report.details}};
}

/// Tells how it has ended: whether the volume was rebuilt, or why not. With --json that and the
/// report are one object.
int tell_end(const RebuildArguments& arguments, const StoppedRebuild& outcome) {
  const Result<bool>& rebuilt = outcome.rebuilt;
  if (!arguments.json) {
    if (!rebuilt) return fail(rebuilt.error());
    if (*rebuilt) print("{} is writable again.\n", arguments.volume);
    return kExitOk;
  }
  Json json = {{"volume", arguments.volume},
               {"state", std::string(name_of(outcome.before))},
               {"dryRun", arguments.dry_run},
               {"rebuilt", rebuilt && *rebuilt},
               {"report", report_json(outcome.survey)}};
  if (!rebuilt) add_error(json, rebuilt.error());
  print("{}\n", json_text(json, 2));
  return rebuilt ? kExitOk : kExitFailed;
}

}  // namespace

int run_rebuild(int argc, char** argv) {
  RebuildArguments arguments;
  Arguments app("Rebuilds a volume that an error has left read-only: counts all references anew.",
                "uvdo rebuild");
  add_volume_argument(app, arguments.volume);
  app.flag("-n,--dry-run", arguments.dry_run, "only say what would be lost");
  app.flag("-y,--yes", arguments.yes, "go on although something is lost");
  app.flag("--force", arguments.force,
           "also a volume that is not in read-only mode: what its journal cannot tell any "
           "more is given up");
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  StoppedRebuildOptions options;
  options.volume = arguments.volume;
  options.dry_run = arguments.dry_run;
  options.accepts_losses = arguments.yes;
  options.force = arguments.force;
  options.advise = advice_on;
  // Before anything is changed: who reads along sees what it would cost.
  options.surveyed = [&](const RebuildReport& survey) {
    if (!arguments.json) print_report(survey);
  };
  // With --json standard output is for the one object.
  options.log = [&](const LogLine& line) {
    arguments.json ? print_error("{}\n", line.text) : print("{}\n", line.text);
  };
  auto outcome = rebuild_stopped_volume(options);
  return outcome ? tell_end(arguments, *outcome) : fail(outcome.error());
}

}  // namespace uvdo
