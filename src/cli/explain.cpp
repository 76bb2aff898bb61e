// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo explain: what a stopped volume says about one block.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/without_journal.h"
#include "inspect/explain_block.h"
#include "manage/ask_index.h"
#include "manage/stopped_volume.h"

namespace uvdo {
namespace {

// A list on the screen; JSON has all that was found.
constexpr std::size_t kShown = 16;

struct Explanation {
  std::optional<LbnExplanation> lbn{};
  std::optional<PbnExplanation> pbn{};
  std::optional<IndexOpinion> index{};
};

// ---- words

std::string hex(const RecordName& name) {
  std::string text;
  for (const std::byte byte : name.bytes) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  return text;
}

std::string text_of(BlockMapping mapping) {
  if (mapping == kUnmapped) return "nothing";
  if (!mapping.valid()) {
    return fmt::format("block {} in state {}, which cannot be", mapping.pbn.value(), mapping.state);
  }
  if (mapping.is_zero()) return "zeros, which take no block";
  if (!mapping.is_compressed()) return fmt::format("block {}", mapping.pbn.value());
  return fmt::format("fragment {} of block {}", mapping.slot(), mapping.pbn.value());
}

std::string_view text_of(PageStatus status) {
  switch (status) {
    case PageStatus::valid: return "valid";
    case PageStatus::invalid: return "never written";
    case PageStatus::bad: return "a page of another place";
  }
  return "";
}

std::string text_of(const BlockPlace& place) {
  std::string text = fmt::format("{} {}", name_of(place.role), place.index);
  if (place.role == BlockRole::outside) text = name_of(place.role);
  if (place.slab) text += fmt::format(" of slab {}", *place.slab);
  return text;
}

void line(std::string_view label, std::string_view value) { print("  {:<16} {}\n", label, value); }

void print_journal(const JournalMentions& journal) {
  if (journal.problem) line("journal", *journal.problem);
  if (journal.old_blocks > 0) {
    line("journal",
         fmt::format("{} blocks of the old form were not looked at", journal.old_blocks));
  }
  if (journal.entries.empty()) line("journal", "no entry about it");
  const std::size_t skipped =
      journal.entries.size() > kShown ? journal.entries.size() - kShown : std::size_t{0};
  if (skipped > 0) line("journal", fmt::format("{} older entries, and", skipped));
  for (std::size_t i = skipped; i < journal.entries.size(); ++i) {
    const JournalMention& mention = journal.entries[i];
    const JournalEntry& entry = mention.entry;
    line("journal",
         fmt::format("block {}, entry {}: slot {} of page {}, from {} to {}",
                     mention.sequence.value(), mention.index, entry.slot, entry.page_pbn.value(),
                     text_of(entry.old_mapping), text_of(entry.new_mapping)));
  }
}

void print_lbn(const LbnExplanation& lbn) {
  print("Logical block {} (byte {})\n", lbn.lbn.value(), lbn.lbn.value() * kBlockSize);
  for (const MapStep& step : lbn.way) {
    const std::string page = step.height == kRootHeight
                                 ? fmt::format("root, block {}", step.page.value())
                                 : fmt::format("page {}", step.page.value());
    line(fmt::format("height {}", step.height),
         step.status == PageStatus::valid
             ? fmt::format("{}, slot {}: {}", page, step.slot, text_of(step.entry))
             : fmt::format("{}: {}", page, text_of(step.status)));
  }
  if (lbn.problem) {
    line("cannot be read", *lbn.problem);
  } else {
    line("mapped to", text_of(lbn.mapping));
  }
  if (lbn.name) line("name", hex(*lbn.name));
  print_journal(lbn.journal);
}

std::string mappings_text(const std::vector<BlockReferences::Mapping>& mappings,
                          std::optional<unsigned> fragment) {
  std::string text;
  std::size_t found = 0;
  for (const BlockReferences::Mapping& each : mappings) {
    const BlockMapping mapping{kZeroPbn, each.state};
    if (fragment && (!mapping.is_compressed() || mapping.slot() != *fragment)) continue;
    if (++found <= kShown) text += fmt::format("{}{}", found == 1 ? "" : ", ", each.lbn.value());
  }
  if (found > kShown) text += fmt::format(" and {} more", found - kShown);
  return found == 0 ? "nobody" : "logical " + text;
}

void print_references(const PbnExplanation& pbn) {
  const BlockReferences& references = *pbn.references;
  if (references.page) {
    line("holds",
         fmt::format("page {} of the block map's tree {}, at height {}", references.page->index,
                     references.page->root, references.page->height));
  }
  if (pbn.fragments.empty()) {
    line("referred to by", mappings_text(references.mappings, std::nullopt));
  }
  for (const FragmentPlace& fragment : pbn.fragments) {
    line(fmt::format("fragment {}", fragment.slot),
         fmt::format("{} bytes{}, referred to by {}", fragment.size,
                     fragment.problem ? ", damaged: " + *fragment.problem : std::string(),
                     mappings_text(references.mappings, fragment.slot)));
  }
  if (references.all_mappings > references.mappings.size()) {
    line("", fmt::format("({} references in all)", references.all_mappings));
  }
  if (references.damaged_places > 0) {
    line("not known", fmt::format("whether something below {} damaged places of the block map "
                                  "refers to it too",
                                  references.damaged_places));
  }
}

void print_pbn(const PbnExplanation& pbn) {
  print("Physical block {}\n", pbn.pbn.value());
  line("is", text_of(pbn.place));
  if (pbn.summary) {
    line("its slab",
         pbn.summary->is_unused()
             ? "was never used"
             : fmt::format("{}, its journal ends before place {} of its ring",
                           pbn.summary->dirty ? "dirty" : "clean", pbn.summary->tail_offset));
  }
  if (pbn.count) line("count", fmt::format("{}", *pbn.count));
  if (pbn.count_problem) line("count", "a problem: " + *pbn.count_problem);
  if (pbn.problem) line("cannot be read", *pbn.problem);
  if (pbn.references) print_references(pbn);
  if (pbn.name) line("name", hex(*pbn.name));
  if (pbn.journal) print_journal(*pbn.journal);
}

void print_index(const IndexOpinion& opinion) {
  print("Index\n");
  line("the name", !opinion.is_known  ? "is not known"
                   : !opinion.mapping ? "is known, with what is no place of a block"
                                      : "is known, at " + text_of(*opinion.mapping));
}

// ---- JSON

Json json_of(BlockMapping mapping) {
  Json json{{"pbn", mapping.pbn.value()}, {"state", mapping.state}};
  if (mapping.is_compressed()) json["fragment"] = mapping.slot();
  return json;
}

Json json_of(const JournalMentions& journal) {
  auto entries = Json::array();
  for (const JournalMention& mention : journal.entries) {
    entries.push_back({{"block", mention.sequence.value()},
                       {"entry", mention.index},
                       {"page", mention.entry.page_pbn.value()},
                       {"slot", mention.entry.slot},
                       {"from", json_of(mention.entry.old_mapping)},
                       {"to", json_of(mention.entry.new_mapping)}});
  }
  Json json{{"entries", std::move(entries)}, {"oldBlocks", journal.old_blocks}};
  if (journal.problem) json["problem"] = *journal.problem;
  return json;
}

Json json_of(const LbnExplanation& lbn) {
  auto way = Json::array();
  for (const MapStep& step : lbn.way) {
    way.push_back({{"height", step.height},
                   {"page", step.page.value()},
                   {"slot", step.slot},
                   {"status", std::string(text_of(step.status))},
                   {"entry", json_of(step.entry)}});
  }
  Json json{{"lbn", lbn.lbn.value()},
            {"way", std::move(way)},
            {"mapping", json_of(lbn.mapping)},
            {"journal", json_of(lbn.journal)}};
  if (lbn.name) json["name"] = hex(*lbn.name);
  if (lbn.problem) json["problem"] = *lbn.problem;
  return json;
}

Json json_of(const BlockReferences& references) {
  auto mappings = Json::array();
  for (const BlockReferences::Mapping& mapping : references.mappings) {
    mappings.push_back({{"lbn", mapping.lbn.value()}, {"state", mapping.state}});
  }
  Json json{{"all", references.all_mappings},
            {"mappings", std::move(mappings)},
            {"damagedPlaces", references.damaged_places}};
  if (references.page) {
    json["page"] = {{"tree", references.page->root},
                    {"height", references.page->height},
                    {"index", references.page->index}};
  }
  return json;
}

Json json_of(const PbnExplanation& pbn) {
  auto fragments = Json::array();
  for (const FragmentPlace& fragment : pbn.fragments) {
    Json each{{"fragment", fragment.slot}, {"size", fragment.size}};
    if (fragment.name) each["name"] = hex(*fragment.name);
    if (fragment.problem) each["problem"] = *fragment.problem;
    fragments.push_back(std::move(each));
  }
  Json json{{"pbn", pbn.pbn.value()},
            {"is", std::string(name_of(pbn.place.role))},
            {"index", pbn.place.index},
            {"fragments", std::move(fragments)}};
  if (pbn.journal) json["journal"] = json_of(*pbn.journal);
  if (pbn.place.slab) json["slab"] = *pbn.place.slab;
  if (pbn.summary) {
    json["slabSummary"] = {{"unused", pbn.summary->is_unused()},
                           {"dirty", pbn.summary->dirty},
                           {"tailOffset", pbn.summary->tail_offset}};
  }
  if (pbn.count) json["count"] = *pbn.count;
  if (pbn.count_problem) json["countProblem"] = *pbn.count_problem;
  if (pbn.references) json["references"] = json_of(*pbn.references);
  if (pbn.name) json["name"] = hex(*pbn.name);
  if (pbn.problem) json["problem"] = *pbn.problem;
  return json;
}

// ---- the command

struct ExplainArguments {
  std::string volume;
  std::optional<std::uint64_t> lbn;
  std::optional<std::uint64_t> pbn;
  bool index = false;
  bool json = false;
  bool without_journal = false;
};

Result<Explanation> explain_blocks(VolumeImage& image, const ExplainArguments& arguments) {
  Explanation out;
  std::optional<Pbn> pbn;
  if (arguments.pbn) pbn = Pbn{*arguments.pbn};
  if (arguments.lbn) {
    auto lbn = explain(image, Lbn{*arguments.lbn});
    if (!lbn) return std::move(lbn).error();
    // The block behind it: who else refers to it, and what lies in it beside.
    if (!lbn->mapping.is_zero() && image.slabs().is_valid(lbn->mapping)) pbn = lbn->mapping.pbn;
    out.lbn = std::move(*lbn);
  }
  if (!pbn) return out;
  Progress progress;
  auto block = explain(image, *pbn, [&](std::uint64_t done, std::uint64_t expected) {
    progress.show("block map", done, expected);
  });
  if (!block) return std::move(block).error();
  out.pbn = std::move(*block);
  return out;
}

/// The name that the index is to be asked for.
const RecordName* wanted_name(const Explanation& out) {
  if (out.lbn && out.lbn->name) return &*out.lbn->name;
  if (out.pbn && out.pbn->name) return &*out.pbn->name;
  return nullptr;
}

void print_explanation(const Explanation& out, bool is_json) {
  if (is_json) {
    Json json = Json::object();
    if (out.lbn) json["logical"] = json_of(*out.lbn);
    if (out.pbn) json["physical"] = json_of(*out.pbn);
    if (out.index) {
      json["index"] = {{"known", out.index->is_known}};
      if (out.index->mapping) json["index"]["mapping"] = json_of(*out.index->mapping);
    }
    print("{}\n", json_text(json, 2));
    return;
  }
  if (out.lbn) print_lbn(*out.lbn);
  if (out.pbn) print_pbn(*out.pbn);
  if (out.index) print_index(*out.index);
}

int run(const ExplainArguments& arguments) {
  auto image = open_volume(arguments.volume, {.replay = !arguments.without_journal});
  if (!image) return fail(image.error());
  if (const auto left_out = left_out_text(**image)) warn(*left_out);
  auto out = explain_blocks(**image, arguments);
  if (!out) return fail(out.error());
  if (arguments.index) {
    const RecordName* name = wanted_name(*out);
    if (name == nullptr) return fail("the block has no contents of which the index could know");
    // The index is opened under a lock of its own.
    image->reset();
    auto opinions = ask_index(arguments.volume, {name, 1});
    if (!opinions) return fail(opinions.error());
    out->index = opinions->front();
  }
  print_explanation(*out, arguments.json);
  const bool has_problem = (out->lbn && out->lbn->problem) || (out->pbn && out->pbn->problem) ||
                           (out->pbn && out->pbn->count_problem);
  return has_problem ? kExitFailed : kExitOk;
}

}  // namespace

int run_explain(int argc, char** argv) {
  ExplainArguments arguments;
  Arguments app("Tells all that a stopped volume says about one block.", "uvdo explain");
  add_volume_argument(app, arguments.volume);
  app.option("--lbn", arguments.lbn, "the number of a logical block of 4096 bytes");
  app.option("--pbn", arguments.pbn, "the number of a block of the device");
  app.flag("--index", arguments.index,
           "ask the deduplication index too, which takes its memory and time to load");
  app.flag("--json", arguments.json, "print JSON");
  app.flag(kWithoutJournal, arguments.without_journal, kWithoutJournalHelp);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (arguments.lbn.has_value() == arguments.pbn.has_value()) {
    return usage_error("give one of --lbn and --pbn: the number of the block");
  }
  return run(arguments);
}

}  // namespace uvdo
