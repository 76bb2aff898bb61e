// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/explain_block.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "inspect/journal_replay.h"
#include "inspect/slab_counts.h"

namespace uvdo {
namespace {

/// The entries for which `is_wanted` holds.
JournalMentions mentions(const VolumeImage& image,
                         const std::function<bool(const JournalEntry&)>& is_wanted) {
  JournalMentions found;
  const auto read = for_each_journal_block(
      image, [&](std::uint64_t /*place*/, const JournalBlockHeader& header, ConstBytes block) {
        if (header.type != kJournalType) {
          ++found.old_blocks;
          return;
        }
        const unsigned count = usable_journal_entries(block, header).count;
        for (unsigned i = 0; i < count; ++i) {
          const JournalEntry entry = journal_entry(block, i);
          if (is_wanted(entry)) found.entries.push_back({header.sequence, i, entry});
        }
      });
  if (!read) found.problem = read.error().message();
  // The ring is read by place.
  std::ranges::stable_sort(found.entries, {}, &JournalMention::sequence);
  return found;
}

/// All entries of the map that lead to `pbn`.
BlockReferences references_to(const VolumeImage& image, Pbn pbn, const WalkProgress& progress) {
  BlockReferences found;
  MapVisitor visitor;
  visitor.page = [&](Pbn page, std::uint32_t root, unsigned height, std::uint64_t index) {
    if (page == pbn) found.page = BlockReferences::Page{root, height, index};
  };
  visitor.entry = [&](Lbn lbn, BlockMapping entry) {
    if (entry.pbn != pbn) return;
    ++found.all_mappings;
    if (found.mappings.size() < BlockReferences::kListed) {
      found.mappings.push_back({lbn, entry.state});
    }
  };
  ReferenceTable table(image.slabs(), image.slab_count());
  walk_block_map(
      image, table,
      [&](const Finding& finding) {
        const bool hides = finding.kind == FindingKind::unreadable ||
                           finding.kind == FindingKind::block_map_page ||
                           finding.kind == FindingKind::block_map_tree;
        if (finding.is_error && hides) ++found.damaged_places;
      },
      progress, visitor);
  std::ranges::sort(found.mappings, {}, &BlockReferences::Mapping::lbn);
  return found;
}

std::vector<FragmentPlace> fragments_of(ConstBytes block) {
  std::vector<FragmentPlace> found;
  std::array<std::byte, kBlockSize> contents;
  for (unsigned slot = 0; slot < kMaxFragments; ++slot) {
    const auto fragment = find_fragment(block, slot);
    if (!fragment) continue;
    FragmentPlace place{slot, fragment->size()};
    if (auto read = decompress_fragment(*fragment, contents); read) {
      place.name = record_name_of(contents.data());
    } else {
      place.problem = read.error().message();
    }
    found.push_back(std::move(place));
  }
  return found;
}

/// What a data block holds, by what those who refer to it say.
void read_contents(const VolumeImage& image, PbnExplanation& out) {
  const BlockReferences& references = *out.references;
  if (references.mappings.empty()) return;
  std::array<std::byte, kBlockSize> block;
  if (auto read = image.read_blocks(out.pbn, block); !read) {
    out.problem = read.error().message();
    return;
  }
  const auto is_compressed = [](const BlockReferences::Mapping& mapping) {
    return BlockMapping{kZeroPbn, mapping.state}.is_compressed();
  };
  if (std::ranges::any_of(references.mappings, is_compressed)) {
    out.fragments = fragments_of(block);
    if (out.fragments.empty()) out.problem = "it is mapped as a compressed block and is none";
  }
  if (!std::ranges::all_of(references.mappings, is_compressed)) {
    out.name = record_name_of(block.data());
  }
}

void explain_slab(const VolumeImage& image, PbnExplanation& out) {
  // A new volume has no summary yet: its first load makes it.
  if (image.super_block().state == VolumeState::new_volume) return;
  const SlabNumber slab = *out.place.slab;
  const auto summary = image.read_slab_summary();
  if (!summary) {
    out.count_problem = summary.error().message();
    return;
  }
  out.summary = (*summary)[slab];
  // A rebuild would make the counts anew: those on disk say nothing.
  if (out.place.role != BlockRole::slab_data || image.is_seen_as_rebuilt()) return;
  const auto note = [&](const Finding& finding) {
    if (!out.count_problem) out.count_problem = finding.text;
  };
  const auto counts = load_slab_counts(image, slab, *out.summary, note);
  if (!counts) {
    out.count_problem = counts.error().message();
  } else {
    out.count = (*counts)[out.place.index];
  }
}

BlockPlace place_in_slab(const VolumeImage& image, Pbn pbn) {
  const SlabConfig& config = image.super_block().depot.slab;
  const std::uint64_t sbn = image.slabs().sbn_of(pbn);
  const SlabNumber slab = image.slabs().slab_of(pbn);
  const std::uint64_t journal = config.data_blocks + config.reference_count_blocks;
  if (sbn < config.data_blocks) return {BlockRole::slab_data, sbn, slab};
  if (sbn < journal) return {BlockRole::slab_reference_counts, sbn - config.data_blocks, slab};
  if (sbn < journal + config.slab_journal_blocks) {
    return {BlockRole::slab_journal, sbn - journal, slab};
  }
  return {BlockRole::outside, sbn, slab};
}

BlockRole role_of(PartitionId id) {
  switch (id) {
    case PartitionId::block_map: return BlockRole::block_map_root;
    case PartitionId::slab_depot: return BlockRole::slab_data;
    case PartitionId::recovery_journal: return BlockRole::recovery_journal;
    case PartitionId::slab_summary: return BlockRole::slab_summary;
  }
  return BlockRole::outside;
}

}  // namespace

std::string_view name_of(BlockRole role) {
  switch (role) {
    case BlockRole::geometry: return "geometry block";
    case BlockRole::index: return "index";
    case BlockRole::super_block: return "super block";
    case BlockRole::block_map_root: return "root of the block map";
    case BlockRole::slab_data: return "data block";
    case BlockRole::slab_reference_counts: return "reference counts";
    case BlockRole::slab_journal: return "slab journal";
    case BlockRole::recovery_journal: return "recovery journal";
    case BlockRole::slab_summary: return "slab summary";
    case BlockRole::outside: return "no part of the volume";
  }
  return "";
}

BlockPlace place_of(const VolumeImage& image, Pbn pbn) {
  const VolumeGeometry& geometry = image.geometry();
  const SuperBlock& super = image.super_block();
  if (pbn == kZeroPbn) return {BlockRole::geometry, 0};
  if (pbn == geometry.data_start) return {BlockRole::super_block, 0};
  if (pbn >= geometry.index_start && pbn < geometry.data_start) {
    return {BlockRole::index, pbn - geometry.index_start};
  }
  for (const Partition& part : super.layout.partitions) {
    if (pbn < part.start || pbn >= part.end()) continue;
    if (part.id != PartitionId::slab_depot) return {role_of(part.id), pbn - part.start};
    if (pbn < image.slabs().slab_start(image.slab_count())) return place_in_slab(image, pbn);
  }
  return {BlockRole::outside, pbn.value()};
}

Result<LbnExplanation> explain(VolumeImage& image, Lbn lbn) {
  LbnExplanation out{lbn};
  auto mapping = image.mapping(lbn, out.way);
  if (!mapping && mapping.error().code() == Errc::out_of_range) return std::move(mapping).error();
  if (mapping) {
    out.mapping = *mapping;
    std::array<std::byte, kBlockSize> contents;
    if (auto read = image.read_mapped(*mapping, contents); !read) {
      out.problem = read.error().message();
    } else if (!mapping->is_zero()) {
      out.name = record_name_of(contents.data());
    }
  } else {
    out.problem = mapping.error().message();
  }
  if (out.way.empty() || out.way.back().height != 0) return out;
  const MapStep& leaf = out.way.back();
  out.journal = mentions(image, [&](const JournalEntry& entry) {
    return entry.operation == JournalOperation::data_remapping && entry.page_pbn == leaf.page &&
           entry.slot == leaf.slot;
  });
  return out;
}

Result<PbnExplanation> explain(VolumeImage& image, Pbn pbn, const WalkProgress& progress) {
  if (const std::uint64_t end = image.super_block().config.physical_blocks; pbn.value() >= end) {
    return Error(Errc::out_of_range,
                 fmt::format("block {} is beyond the end ({} blocks)", pbn.value(), end));
  }
  PbnExplanation out{pbn, place_of(image, pbn)};
  if (out.place.slab) explain_slab(image, out);
  if (out.place.role == BlockRole::slab_data) {
    out.references = references_to(image, pbn, progress);
    read_contents(image, out);
  }
  if (pbn == kZeroPbn) return out;
  out.journal = mentions(image, [&](const JournalEntry& entry) {
    return entry.page_pbn == pbn || entry.new_mapping.pbn == pbn || entry.old_mapping.pbn == pbn;
  });
  return out;
}

}  // namespace uvdo
