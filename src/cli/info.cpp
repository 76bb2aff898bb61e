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
// As options of uvdo take it.
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
void number_line(std::string_view label, std::uint64_t number) {
  line(label, fmt::format("{}", number));
}

void print_volume(const VolumeDescription& info) {
  print("{}\n", info.volume);
  if (info.is_served()) {
    line("state", fmt::format("in use: {}", info.mode.value_or("unknown")));
  } else {
    line("state",
         fmt::format("{}: {}", info.state, explain(static_cast<VolumeState>(info.state_number))));
  }
  line("UUID", info.uuid);
  number_line("nonce", info.nonce);
  line("format", fmt::format("geometry {}.0, volume 67.0", info.geometry_version));
  line("logical size", blocks_text(info.logical_blocks));
  line("physical size", blocks_text(info.physical_blocks));
  line("room for data", blocks_text(info.room_for_data()));
  line("logical blocks used", grouped(info.logical_blocks_used));
  line("block map blocks", grouped(info.block_map_blocks));
  line("recoveries", fmt::format("{}, and {} from read-only mode", info.complete_recoveries,
                                 info.read_only_recoveries));
  if (info.bio_offset != 0) number_line("bio offset", info.bio_offset);
  line("device", fmt::format("{}{}", exact_size_text(info.device_bytes),
                             info.is_truncated ? ", SMALLER than the volume" : ""));
  if (info.lvm_pool) {
    line("pool of LVM",
         fmt::format("its logical volume is what uvdo serve --offset {} --size {} offers; both "
                     "ends stay empty",
                     option_text(info.lvm_pool->offset), option_text(info.lvm_pool->size)));
  }
}

void print_index(const VolumeDescription::Index& index) {
  print("Index\n");
  line("memory", index.memory + " GB");
  line("kind", index.is_sparse ? "sparse" : "dense");
  line("remembers",
       fmt::format("the last {} of different data", size_text(index.window_blocks * kBlockSize)));
}

void print_slabs(const VolumeDescription::Slabs& slabs) {
  print("Slabs\n");
  line("number", fmt::format("{} of {}", slabs.count, blocks_text(slabs.blocks)));
  line("each", fmt::format("{} data, {} reference count and {} journal blocks", slabs.data_blocks,
                           slabs.reference_count_blocks, slabs.journal_blocks));
  number_line("never used", slabs.never_used);
  if (slabs.dirty) number_line("dirty", *slabs.dirty);
  number_line("physical zones", slabs.physical_zones);
}

void print_journal(const VolumeDescription::Journal& journal) {
  print("Recovery journal\n");
  if (journal.tail) {
    line("in use", fmt::format("{} of {} blocks, from {} to {}", journal.blocks_in_use.value_or(0),
                               journal.blocks, journal.head.value_or(0), *journal.tail));
    return;
  }
  number_line("starts at", journal.start);
  std::string current = "none to replay";
  if (journal.first_current && journal.last_current) {
    current = fmt::format("{}, from {} to {}", journal.current_blocks.value_or(0),
                          *journal.first_current, *journal.last_current);
  }
  line("current blocks", current);
  if (journal.replay) line("entries to replay", grouped(journal.replay->entries));
}

void print_layout(const VolumeDescription& info) {
  print("Layout (block numbers)\n");
  std::vector<VolumeDescription::Part> parts = info.partitions;
  parts.push_back({"index", info.index.start, info.index.blocks});
  parts.push_back({"super block", info.super_block, 1});
  // By place: the order in the super block is any (behaviour.md, 17).
  std::ranges::sort(parts, {}, &VolumeDescription::Part::start);
  for (const VolumeDescription::Part& part : parts) {
    line(part.name, fmt::format("{} to {}: {}", part.start, part.start + part.blocks - 1,
                                blocks_text(part.blocks)));
  }
  number_line("end", info.physical_blocks);
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
  const VolumeDescription& info = described->description;
  std::optional<Error> damage;
  if (info.journal.damage) damage.emplace(Errc::corrupt, *info.journal.damage);
  if (json) {
    Json told = fields_json(info);
    if (damage) add_error(told, *damage);
    print("{}\n", json_text(told, 2));
    return damage ? kExitFailed : kExitOk;
  }
  const int status = damage ? fail(*damage) : kExitOk;
  print_volume(info);
  print_index(info.index);
  print_slabs(info.slabs);
  print_journal(info.journal);
  print_layout(info);
  return status;
}

}  // namespace uvdo
