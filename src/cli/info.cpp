// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo info: what a stopped volume is, in words or as JSON.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/size_text.h"
#include "cli/command.h"
#include "cli/open_volume.h"
#include "format/index_geometry.h"
#include "inspect/lvm_pool.h"

namespace uvdo {
namespace {

using Json = nlohmann::ordered_json;

struct SlabCounts {
  std::uint64_t never_used = 0;
  std::uint64_t dirty = 0;
};

struct VolumeInfo {
  SlabCounts slabs;
  JournalOverview journal;
  std::uint64_t index_window_blocks = 0;  ///< how many blocks the index can remember
  std::optional<LvmPoolWindow> lvm_pool;
};

Result<VolumeInfo> collect(VolumeImage& image) {
  VolumeInfo info;
  const SuperBlock& super = image.super_block();
  info.slabs.never_used = super.depot.slab_count();
  if (super.state != VolumeState::new_volume) {
    auto entries = image.read_slab_summary();
    if (!entries) return std::move(entries).error();
    info.slabs.never_used = 0;
    for (const SlabSummaryEntry& entry : *entries) {
      info.slabs.never_used += entry.is_unused() ? 1 : 0;
      info.slabs.dirty += entry.dirty ? 1 : 0;
    }
  }
  auto journal = survey_journal(image);
  if (!journal) return std::move(journal).error();
  info.journal = *journal;
  const VolumeGeometry& geometry = image.geometry();
  if (auto index = compute_index_geometry(geometry.index_memory, geometry.sparse)) {
    info.index_window_blocks = index->chapters * index->records_per_chapter;
  }
  info.lvm_pool = lvm_pool_window(image);
  return info;
}

/// A size as an option takes it, exact: "512K", "1G".
std::string option_text(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "BKMGTP";
  std::size_t unit = 0;
  for (; unit + 1 < kUnits.size() && bytes != 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  return fmt::format("{}{}", bytes, kUnits[unit]);
}

std::string blocks_text(std::uint64_t blocks) {
  return fmt::format("{} ({} blocks)", size_text(blocks * kBlockSize), grouped(blocks));
}

/// "label   value" lines.
void line(std::string_view label, std::string_view value) {
  fmt::print("  {:<22} {}\n", label, value);
}

void print_layout(const VolumeImage& image) {
  const SuperBlock& super = image.super_block();
  const VolumeGeometry& geometry = image.geometry();
  fmt::print("Layout (block numbers)\n");
  struct Part {
    Pbn start;
    std::uint64_t blocks;
    std::string_view name;
  };
  std::vector<Part> parts{{geometry.index_start, geometry.index_blocks(), "index"},
                          {geometry.data_start, 1, "super block"}};
  for (const Partition& partition : super.layout.partitions) {
    parts.push_back({partition.start, partition.blocks, name_of(partition.id)});
  }
  std::ranges::sort(parts, {}, &Part::start);
  for (const Part& part : parts) {
    line(part.name, fmt::format("{} to {}: {}", part.start.value(),
                                part.start.value() + part.blocks - 1, blocks_text(part.blocks)));
  }
  line("end", fmt::format("{}", super.config.physical_blocks));
}

void print_slabs(const VolumeImage& image, const VolumeInfo& info) {
  const SlabConfig& slab = image.super_block().depot.slab;
  fmt::print("Slabs\n");
  line("number", fmt::format("{} of {}", image.slab_count(), blocks_text(slab.slab_blocks)));
  line("each", fmt::format("{} data, {} reference count and {} journal blocks", slab.data_blocks,
                           slab.reference_count_blocks, slab.slab_journal_blocks));
  line("never used", fmt::format("{}", info.slabs.never_used));
  line("dirty", fmt::format("{}", info.slabs.dirty));
  line("physical zones", fmt::format("{}", image.super_block().depot.zone_count));
}

void print_journal(const VolumeImage& image, const VolumeInfo& info) {
  const SuperBlock& super = image.super_block();
  fmt::print("Recovery journal\n");
  line("starts at", fmt::format("{}", super.journal.journal_start.value()));
  std::string current = "none to replay";
  if (info.journal.current_blocks > 0) {
    current = fmt::format("{}, from {} to {}", info.journal.current_blocks,
                          info.journal.first_current.value(), info.journal.last_current.value());
  }
  line("current blocks", current);
  if (const JournalReplay* replay = image.replay(); replay != nullptr && replay->found) {
    line("entries to replay", grouped(replay->entries));
  }
}

void print_text(const VolumeImage& image, const VolumeInfo& info) {
  const SuperBlock& super = image.super_block();
  const VolumeGeometry& geometry = image.geometry();
  const std::uint64_t data_blocks = image.slab_count() * super.depot.slab.data_blocks;
  fmt::print("{}\n", image.source().name());
  line("state", fmt::format("{}: {}", name_of(super.state), explain(super.state)));
  line("UUID", to_text(geometry.uuid));
  line("nonce", fmt::format("{}", geometry.nonce));
  line("format", fmt::format("geometry {}.0, volume 67.0", geometry.major_version));
  line("logical size", blocks_text(super.config.logical_blocks));
  line("physical size", blocks_text(super.config.physical_blocks));
  line("room for data", blocks_text(data_blocks));
  line("logical blocks used", grouped(image.logical_blocks_used()));
  line("block map blocks", grouped(image.block_map_blocks()));
  line("recoveries", fmt::format("{}, and {} from read-only mode", super.complete_recoveries,
                                 super.read_only_recoveries));
  if (geometry.bio_offset != 0) line("bio offset", fmt::format("{}", geometry.bio_offset));
  line("device", fmt::format("{}{}", size_text(image.source().size()),
                             image.is_truncated() ? ", SMALLER than the volume" : ""));
  if (info.lvm_pool) {
    line("pool of LVM",
         fmt::format("its logical volume is what uvdo serve --offset {} --size {} "
                     "offers; both ends stay empty",
                     option_text(info.lvm_pool->offset), option_text(info.lvm_pool->size)));
  }
  fmt::print("Index\n");
  line("memory", to_text(geometry.index_memory) + " GB");
  line("kind", geometry.sparse ? "sparse" : "dense");
  line("remembers", fmt::format("the last {} of different data",
                                size_text(info.index_window_blocks * kBlockSize)));
  print_slabs(image, info);
  print_journal(image, info);
  print_layout(image);
}

Json partitions_json(const SuperBlock& super) {
  Json json = Json::object();
  for (const Partition& partition : super.layout.partitions) {
    json[std::string(name_of(partition.id))] = {{"start", partition.start.value()},
                                                {"blocks", partition.blocks}};
  }
  return json;
}

Json to_json(const VolumeImage& image, const VolumeInfo& info) {
  const SuperBlock& super = image.super_block();
  const VolumeGeometry& geometry = image.geometry();
  const SlabConfig& slab = super.depot.slab;
  Json journal = {{"start", super.journal.journal_start.value()},
                  {"blocks", super.config.journal_size},
                  {"currentBlocks", info.journal.current_blocks}};
  if (const JournalReplay* replay = image.replay(); replay != nullptr && replay->found) {
    journal["replay"] = {{"blockMapHead", replay->block_map_head.value()},
                         {"slabJournalHead", replay->slab_journal_head.value()},
                         {"lastUsable", replay->last_usable.value()},
                         {"highestTail", replay->highest_tail.value()},
                         {"entries", replay->entries}};
  }
  Json json = {
      {"volume", image.source().name()},
      {"state", std::string(name_of(super.state))},
      {"stateNumber", static_cast<std::uint32_t>(super.state)},
      {"uuid", to_text(geometry.uuid)},
      {"nonce", geometry.nonce},
      {"geometryVersion", geometry.major_version},
      {"bioOffset", geometry.bio_offset},
      {"blockSize", kBlockSize},
      {"deviceBytes", image.source().size()},
      {"logicalBlocks", super.config.logical_blocks},
      {"physicalBlocks", super.config.physical_blocks},
      {"logicalBlocksUsed", image.logical_blocks_used()},
      {"blockMapBlocks", image.block_map_blocks()},
      {"completeRecoveries", super.complete_recoveries},
      {"readOnlyRecoveries", super.read_only_recoveries},
      {"index",
       {{"start", geometry.index_start.value()},
        {"blocks", geometry.index_blocks()},
        {"memory", to_text(geometry.index_memory)},
        {"memoryValue", geometry.index_memory.value},
        {"sparse", geometry.sparse},
        {"windowBlocks", info.index_window_blocks}}},
      {"superBlock", geometry.data_start.value()},
      {"partitions", partitions_json(super)},
      {"slabs",
       {{"count", image.slab_count()},
        {"blocks", slab.slab_blocks},
        {"dataBlocks", slab.data_blocks},
        {"referenceCountBlocks", slab.reference_count_blocks},
        {"journalBlocks", slab.slab_journal_blocks},
        {"firstBlock", super.depot.first_block.value()},
        {"lastBlock", super.depot.last_block.value()},
        {"neverUsed", info.slabs.never_used},
        {"dirty", info.slabs.dirty},
        {"physicalZones", super.depot.zone_count}}},
      {"journal", std::move(journal)},
      {"truncated", image.is_truncated()},
  };
  if (info.lvm_pool) {
    json["lvmPool"] = {{"offset", info.lvm_pool->offset}, {"size", info.lvm_pool->size}};
  }
  return json;
}

}  // namespace

int run_info(int argc, char** argv) {
  std::string volume;
  bool json = false;
  CLI::App app("Shows what a stopped volume is: sizes, layout, state.", "uvdo info");
  app.add_option("VOLUME", volume, "file or block device that holds the volume")->required();
  app.add_flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto image = open_volume(volume);
  if (!image && image.error().code() == Errc::unsupported) {
    // A journal of the old form cannot be replayed, but the volume can be described.
    image = open_volume(volume, {.replay = false});
  }
  if (!image) return fail(image.error());
  auto info = collect(**image);
  if (!info) return fail(info.error());
  if (json) {
    fmt::print("{}\n", to_json(**image, *info).dump(2));
  } else {
    print_text(**image, *info);
  }
  return kExitOk;
}

}  // namespace uvdo
