// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo check: the audit of a stopped volume, for people and as JSON.
#include <array>
#include <string>

#include "base/json.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/damage_file.h"
#include "cli/open_volume.h"
#include "cli/progress.h"
#include "control/error_json.h"
#include "inspect/audit.h"
#include "inspect/damage_list.h"

namespace uvdo {
namespace {

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

Json summary_json(const VolumeImage& image, const AuditSummary& summary, Json findings) {
  auto kinds = Json::object();
  for (std::size_t kind = 0; kind < kFindingKinds; ++kind) {
    if (summary.by_kind[kind] == 0) continue;
    kinds[std::string(name_of(static_cast<FindingKind>(kind)))] = summary.by_kind[kind];
  }
  return {
      {"volume", image.store().name()},
      {"state", std::string(name_of(image.super_block().state))},
      {"replayed", image.replay() != nullptr},
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
      {"logicalBlocksLostWithJournal",
       image.replay() == nullptr ? 0 : image.replay()->view.blocks_affected()},
      {"findings", std::move(findings)},
  };
}

void print_summary(const VolumeImage& image, const AuditSummary& summary) {
  const SuperBlock& super = image.super_block();
  print("{}: {} ({})\n", image.store().name(), name_of(super.state), explain(super.state));
  if (super.state == VolumeState::new_volume) return;
  if (const auto replayed = replay_text(image)) print("{}\n", *replayed);
  if (const auto left_out = left_out_text(image)) print("{}\n", *left_out);
  print(
      "{} logical blocks used, {} block map blocks, {} data blocks in use, {} of them "
      "compressed\n",
      grouped(summary.contents.mapped_blocks), grouped(summary.contents.tree_pages),
      grouped(summary.referenced_blocks), grouped(summary.compressed_blocks));
}

void print_verdict(const VolumeImage& image, const AuditSummary& summary) {
  if (summary.logical_blocks_affected > 0) {
    print("At least {} logical blocks cannot be read as they were written.\n",
          grouped(summary.logical_blocks_affected));
  }
  if (!summary.is_consistent()) {
    print("The volume is NOT consistent: {} error{} found.\n", grouped(summary.errors),
          summary.errors == 1 ? "" : "s");
  } else if (image.is_seen_as_rebuilt()) {
    print("What the volume holds is consistent: a rebuild brings back all of it.\n");
  } else {
    print("The volume is consistent.\n");
  }
}

/// Reads everything once more, in the order of logical blocks.
Result<void> list_damaged(VolumeImage& image, DamageFile& list, Progress& progress) {
  if (!list) return {};
  const std::uint64_t blocks = image.logical_blocks();
  find_damaged_blocks(
      image, [&](const ContentRun& run) { list.add(run); },
      [&](std::uint64_t done) { progress.show("damaged blocks", done, blocks); });
  progress.clear();
  if (const auto loss = journal_loss_text(image)) list.remark(*loss);
  return list.finish();
}

int check(const CheckArguments& arguments) {
  auto image = open_volume(arguments.volume, {.replay = !arguments.without_journal});
  if (!image) return fail(image.error());
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
  const AuditSummary summary = audit(**image, options, [&](const Finding& finding) {
    if (!arguments.json) return printer(finding);
    if (findings.size() >= kListedFindings) return;
    findings.push_back({{"kind", std::string(name_of(finding.kind))},
                        {"error", finding.is_error},
                        {"text", finding.text}});
  });
  progress.clear();
  if (arguments.json) {
    Json json = summary_json(**image, summary, std::move(findings));
    auto listed = list_damaged(**image, *list, progress);
    if (!listed) {
      warn(listed.error().message());
      json["error"] = error_json(listed.error());
    }
    print("{}\n", json_text(json, 2));
    return listed && summary.is_consistent() ? kExitOk : kExitFailed;
  }
  print_summary(**image, summary);
  print_verdict(**image, summary);
  if (auto listed = list_damaged(**image, *list, progress); !listed) return fail(listed.error());
  return summary.is_consistent() ? kExitOk : kExitFailed;
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
