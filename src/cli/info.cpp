// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo info: what a volume is, stopped or in use, in words or as JSON.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/served_volume.h"
#include "cli/without_journal.h"
#include "format/super_block.h"
#include "manage/look.h"

namespace uvdo {
namespace {

/// A size as one word, exact: "512K", "1G".
std::string option_text(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "BKMGTP";
  std::size_t unit = 0;
  for (; unit + 1 < kUnits.size() && bytes != 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  return fmt::format("{}{}", bytes, kUnits[unit]);
}

std::string blocks_text(std::uint64_t blocks) {
  return fmt::format("{} ({} blocks)", exact_size_text(blocks * kBlockSize), grouped(blocks));
}

/// "label   value" lines.
void line(std::string_view label, std::string_view value) { print("  {:<22} {}\n", label, value); }
void number_line(std::string_view label, const Json& number) {
  line(label, fmt::format("{}", number.get<std::uint64_t>()));
}

std::uint64_t number(const Json& json, const char* key) {
  return json.at(key).get<std::uint64_t>();
}

void print_volume(const Json& info) {
  const bool served = info.contains("served");
  print("{}\n", info.at("volume").get<std::string>());
  if (served) {
    line("state", fmt::format("in use: {}", info.at("mode").get<std::string>()));
  } else {
    const auto state = static_cast<VolumeState>(number(info, "stateNumber"));
    line("state", fmt::format("{}: {}", name_of(state), explain(state)));
  }
  line("UUID", info.at("uuid").get<std::string>());
  number_line("nonce", info.at("nonce"));
  line("format", fmt::format("geometry {}.0, volume 67.0", number(info, "geometryVersion")));
  line("logical size", blocks_text(number(info, "logicalBlocks")));
  line("physical size", blocks_text(number(info, "physicalBlocks")));
  const Json& slabs = info.at("slabs");
  line("room for data", blocks_text(number(slabs, "count") * number(slabs, "dataBlocks")));
  line("logical blocks used", grouped(number(info, "logicalBlocksUsed")));
  line("block map blocks", grouped(number(info, "blockMapBlocks")));
  line("recoveries",
       fmt::format("{}, and {} from read-only mode", number(info, "completeRecoveries"),
                   number(info, "readOnlyRecoveries")));
  if (number(info, "bioOffset") != 0) number_line("bio offset", info.at("bioOffset"));
  line("device", fmt::format("{}{}", exact_size_text(number(info, "deviceBytes")),
                             info.at("truncated").get<bool>() ? ", SMALLER than the volume" : ""));
  if (info.contains("lvmPool")) {
    const Json& pool = info.at("lvmPool");
    line("pool of LVM",
         fmt::format("its logical volume is what uvdo serve --offset {} --size {} offers; both "
                     "ends stay empty",
                     option_text(number(pool, "offset")), option_text(number(pool, "size"))));
  }
}

void print_index(const Json& index) {
  print("Index\n");
  line("memory", index.at("memory").get<std::string>() + " GB");
  line("kind", index.at("sparse").get<bool>() ? "sparse" : "dense");
  line("remembers", fmt::format("the last {} of different data",
                                size_text(number(index, "windowBlocks") * kBlockSize)));
}

void print_slabs(const Json& slabs) {
  print("Slabs\n");
  line("number",
       fmt::format("{} of {}", number(slabs, "count"), blocks_text(number(slabs, "blocks"))));
  line("each",
       fmt::format("{} data, {} reference count and {} journal blocks", number(slabs, "dataBlocks"),
                   number(slabs, "referenceCountBlocks"), number(slabs, "journalBlocks")));
  number_line("never used", slabs.at("neverUsed"));
  if (!slabs.at("dirty").is_null()) number_line("dirty", slabs.at("dirty"));
  number_line("physical zones", slabs.at("physicalZones"));
}

void print_journal(const Json& journal) {
  print("Recovery journal\n");
  if (journal.contains("tail")) {
    line("in use",
         fmt::format("{} of {} blocks, from {} to {}", number(journal, "blocksInUse"),
                     number(journal, "blocks"), number(journal, "head"), number(journal, "tail")));
    return;
  }
  number_line("starts at", journal.at("start"));
  std::string current = "none to replay";
  if (number(journal, "currentBlocks") > 0) {
    current = fmt::format("{}, from {} to {}", number(journal, "currentBlocks"),
                          number(journal, "firstCurrent"), number(journal, "lastCurrent"));
  }
  line("current blocks", current);
  if (journal.contains("replay")) {
    line("entries to replay", grouped(number(journal.at("replay"), "entries")));
  }
}

void print_layout(const Json& info) {
  print("Layout (block numbers)\n");
  struct Part {
    std::uint64_t start;
    std::uint64_t blocks;
    std::string name;
  };
  std::vector<Part> parts{
      {number(info.at("index"), "start"), number(info.at("index"), "blocks"), "index"},
      {number(info, "superBlock"), 1, "super block"}};
  for (const auto& [name, partition] : info.at("partitions").items()) {
    parts.push_back({number(partition, "start"), number(partition, "blocks"), name});
  }
  std::ranges::sort(parts, {}, &Part::start);
  for (const Part& part : parts) {
    line(part.name, fmt::format("{} to {}: {}", part.start, part.start + part.blocks - 1,
                                blocks_text(part.blocks)));
  }
  number_line("end", info.at("physicalBlocks"));
}

}  // namespace

int run_info(int argc, char** argv) {
  ServedVolumeOptions served;
  bool json = false;
  bool without_journal = false;
  Arguments app("Shows what a volume is: sizes, layout, state.", "uvdo info");
  served.add_to(app);
  app.flag("--json", json, "print JSON");
  app.flag(kWithoutJournal, without_journal, kWithoutJournalHelp);
  if (auto parsed = parse_arguments(app, argc, argv)) return *parsed;
  auto described = describe_volume(served.given(), {.replay = !without_journal});
  if (!described) return fail(described.error());
  if (described->left_out) warn(*described->left_out);
  Json* const info = &described->description;
  const Json& journal = info->at("journal");
  std::optional<Error> damage;
  if (journal.contains("damage"))
    damage.emplace(Errc::corrupt, journal.at("damage").get<std::string>());
  if (json) {
    if (damage) add_error(*info, *damage);
    print("{}\n", json_text(*info, 2));
    return damage ? kExitFailed : kExitOk;
  }
  const int status = damage ? fail(*damage) : kExitOk;
  print_volume(*info);
  print_index(info->at("index"));
  print_slabs(info->at("slabs"));
  print_journal(info->at("journal"));
  print_layout(*info);
  return status;
}

}  // namespace uvdo
