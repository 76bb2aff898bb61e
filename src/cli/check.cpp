// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo check: the audit of a stopped volume, for people and as JSON.
#include "manage/check.h"

#include <array>
#include <string>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/damage_file.h"
#include "cli/progress.h"
#include "cli/without_journal.h"

namespace uvdo {
namespace {

// A damaged page has the same to say of hundreds of blocks.
constexpr std::uint64_t kShownOfAKind = 10;
/// Findings that the JSON lists one by one; all are counted.
constexpr std::size_t kListedFindings = 100'000;

struct CheckArguments {
  std::string volume;
  bool verbose = false;
  bool json = false;
  bool without_journal = false;
  bool metadata_only = false;
  std::string damaged;  ///< where the damaged blocks are listed
};

/// Prints findings as they come, not too many of a kind.
class FindingPrinter {
 public:
  FindingPrinter(Progress& progress, bool all) : progress_(progress), all_(all) {}
  void operator()(const Finding& finding) {
    const std::uint64_t seen = ++seen_[static_cast<std::size_t>(finding.kind)];
    if (!all_ && seen > kShownOfAKind + 1) return;
    progress_.clear();
    // Once, in place of all further ones of the kind.
    if (!all_ && seen == kShownOfAKind + 1) {
      print("{}: more of the same (--verbose shows all)\n", name_of(finding.kind));
      return;
    }
    print("{}: {}: {}\n", finding.is_error ? "error" : "note", name_of(finding.kind), finding.text);
  }

 private:
  Progress& progress_;
  bool all_;
  std::array<std::uint64_t, kFindingKinds> seen_{};
};

Json report_json(const CheckReport& report, Json findings) {
  const AuditSummary& summary = report.summary;
  auto kinds = Json::object();
  for (std::size_t kind = 0; kind < kFindingKinds; ++kind) {
    if (summary.by_kind[kind] == 0) continue;
    kinds[std::string(name_of(static_cast<FindingKind>(kind)))] = summary.by_kind[kind];
  }
  return {
      {"volume", report.volume},
      {"state", std::string(name_of(report.state))},
      {"replayed", report.is_replayed},
      {"consistent", summary.is_consistent()},
      {"errors", summary.errors},
      {"notes", summary.notes},
      {"errorsByKind", std::move(kinds)},
      {"logicalBlocksUsed", summary.contents.mapped_blocks},
      {"zeroBlocks", summary.contents.zero_blocks},
      {"blockMapBlocks", summary.contents.tree_pages},
      {"allocatedBlocks", summary.allocated_blocks},
      {"referencedDataBlocks", summary.referenced_blocks},
      {"compressedBlocks", summary.compressed_blocks},
      {"compressedFragments", summary.compressed_fragments},
      {"dataBlocksRead", summary.data_blocks_read},
      {"logicalBlocksAffected", summary.logical_blocks_affected},
      {"logicalBlocksLostWithJournal", report.blocks_lost_with_journal},
      {"findings", std::move(findings)},
  };
}

void print_summary(const CheckReport& report) {
  const AuditSummary& summary = report.summary;
  print("{}: {} ({})\n", report.volume, name_of(report.state), explain(report.state));
  if (report.state == VolumeState::new_volume) return;
  if (report.replayed) print("{}\n", *report.replayed);
  if (report.left_out) print("{}\n", *report.left_out);
  print(
      "{} logical blocks used, {} block map blocks, {} data blocks in use, {} of them "
      "compressed\n",
      grouped(summary.contents.mapped_blocks), grouped(summary.contents.tree_pages),
      grouped(summary.referenced_blocks), grouped(summary.compressed_blocks));
}

void print_verdict(const CheckReport& report) {
  const AuditSummary& summary = report.summary;
  if (summary.logical_blocks_affected > 0) {
    print("At least {} logical blocks cannot be read as they were written.\n",
          grouped(summary.logical_blocks_affected));
  }
  if (!summary.is_consistent()) {
    print("The volume is NOT consistent: {} error{} found.\n", grouped(summary.errors),
          summary.errors == 1 ? "" : "s");
  } else if (report.is_seen_as_rebuilt) {
    print("What the volume holds is consistent: a rebuild brings back all of it.\n");
  } else {
    print("The volume is consistent.\n");
  }
}

Result<void> write_list(StoppedCheck& check, DamageFile& list, Progress& progress) {
  if (!list) return {};
  const auto loss = check.find_damaged(
      [&](const ContentRun& run) { list.add(run); },
      [&](std::uint64_t done, std::uint64_t all) { progress.show("damaged blocks", done, all); });
  progress.clear();
  if (loss) list.remark(*loss);
  return list.finish();
}

int check(const CheckArguments& arguments) {
  auto opened = StoppedCheck::open(arguments.volume, {.replay = !arguments.without_journal});
  if (!opened) return fail(opened.error());
  auto list = DamageFile::open(arguments.damaged, {arguments.volume});
  if (!list) return fail(list.error());
  if (auto begun = list->begin(); !begun) return fail(begun.error());
  Progress progress;
  FindingPrinter printer(progress, arguments.verbose);
  auto findings = Json::array();
  AuditOptions options;
  options.read_data = !arguments.metadata_only;
  options.progress = [&](std::string_view what, std::uint64_t done, std::uint64_t total) {
    progress.show(what, done, total);
  };
  const CheckReport report = opened->run(options, [&](const Finding& finding) {
    // Behind the limit findings are counted and not kept, so that a ruined volume does not take all
    // memory.
    if (!arguments.json) return printer(finding);
    if (findings.size() >= kListedFindings) return;
    findings.push_back({{"kind", std::string(name_of(finding.kind))},
                        {"error", finding.is_error},
                        {"text", finding.text}});
  });
  progress.clear();
  if (!arguments.json) {
    print_summary(report);
    print_verdict(report);
  }
  // After the audit: the list is of logical blocks, which takes a walk of its own.
  auto listed = write_list(*opened, *list, progress);
  if (arguments.json) {
    Json json = report_json(report, std::move(findings));
    if (!listed) add_error(json, listed.error());
    print("{}\n", json_text(json, 2));
  } else if (!listed) {
    return fail(listed.error());
  }
  return listed && report.summary.is_consistent() ? kExitOk : kExitFailed;
}

}  // namespace

int run_check(int argc, char** argv) {
  CheckArguments arguments;
  Arguments app("Checks a stopped volume: counts all references anew and compares everything.",
                "uvdo check");
  add_volume_argument(app, arguments.volume);
  app.flag("-v,--verbose", arguments.verbose, "show every finding, not ten of a kind");
  app.flag("--json", arguments.json, "print the result as JSON");
  app.flag("--metadata-only", arguments.metadata_only,
           "do not read the data blocks that are not compressed");
  DamageFile::add_to(app, arguments.damaged);
  app.flag(kWithoutJournalOrRaw, arguments.without_journal, kWithoutJournalHelp);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (arguments.json && arguments.damaged == "-") {
    return usage_error("--json and --list-damaged - cannot both have standard output");
  }
  return check(arguments);
}

}  // namespace uvdo
