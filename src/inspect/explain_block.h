// SPDX-License-Identifier: GPL-2.0-or-later
// What a stopped volume says about one block: of the logical device, the way to it and what it is
// mapped to; of the device beneath, what it is for and who refers to it; and what the recovery
// journal has about either. For people who look for the reason of something.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/compressed_block.h"
#include "format/record_name.h"
#include "format/recovery_journal_block.h"
#include "inspect/block_map_walk.h"
#include "inspect/volume_image.h"

namespace uvdo {

/// An entry of the recovery journal, and where it stands.
struct JournalMention {
  JournalSequence sequence;
  unsigned index = 0;  ///< in its block
  JournalEntry entry;
};

/// What the journal has about something. Blocks of the ring that were written in this life of the
/// volume are looked at, whether what they say is in the map already or not.
struct JournalMentions {
  std::vector<JournalMention> entries{};  ///< in the order in which they were made
  std::uint64_t old_blocks = 0;           ///< of the old form, which are not looked at
  std::optional<std::string> problem{};   ///< why it could not be read
};

/// What a logical block is, from its root down.
struct LbnExplanation {
  Lbn lbn;
  std::vector<MapStep> way{};
  BlockMapping mapping{};
  std::optional<std::string> problem{};  ///< why it cannot be read
  std::optional<RecordName> name{};      ///< of its contents, unless it is a hole or has a problem
  JournalMentions journal{};             ///< about its entry in the map
};

/// What a block of the device is for.
enum class BlockRole : std::uint8_t {
  geometry,
  index,
  super_block,
  block_map_root,
  slab_data,  ///< data, a compressed block or a page of the block map, or free
  slab_reference_counts,
  slab_journal,
  recovery_journal,
  slab_summary,
  outside,  ///< of the volume, or of no part of it
};
[[nodiscard]] std::string_view name_of(BlockRole role);

/// Where a block lies: in which part, and at which place there.
struct BlockPlace {
  BlockRole role = BlockRole::outside;
  std::uint64_t index = 0;           ///< from the beginning of the part (of the slab's)
  std::optional<SlabNumber> slab{};  ///< that it lies in
};
[[nodiscard]] BlockPlace place_of(const VolumeImage& image, Pbn pbn);

/// Who refers to a data block of a slab.
struct BlockReferences {
  static constexpr std::size_t kListed = 1000;
  struct Page {
    std::uint32_t root = 0;
    unsigned height = 0;
    std::uint64_t index = 0;  ///< in its tree, at its height
  };
  struct Mapping {
    Lbn lbn;
    std::uint8_t state = 0;  ///< as in the map
  };
  std::optional<Page> page{};       ///< it is this page of the block map
  std::vector<Mapping> mappings{};  ///< by lbn; the first kListed
  std::uint64_t all_mappings = 0;
  /// Places of the map that are damaged: what is below them may refer to it too.
  std::uint64_t damaged_places = 0;
};

/// A fragment of a compressed block.
struct FragmentPlace {
  unsigned slot = 0;
  std::size_t size = 0;  ///< bytes
  std::optional<RecordName> name{};
  std::optional<std::string> problem{};  ///< why it cannot be decompressed
};

struct PbnExplanation {
  Pbn pbn;
  BlockPlace place;
  /// Of what lies in a slab: its summary, and the count of a data block as a loader would have it.
  std::optional<SlabSummaryEntry> summary{};
  std::optional<std::uint8_t> count{};
  std::optional<std::string> count_problem{};
  std::optional<BlockReferences> references{};  ///< of a data block
  std::vector<FragmentPlace> fragments{};       ///< where mappings say that it is compressed
  std::optional<RecordName> name{};             ///< where they say that it is not
  std::optional<std::string> problem{};         ///< why its contents cannot be read
  /// Entries that name it; not of block 0, which they name for blocks of zeros.
  std::optional<JournalMentions> journal{};
};

/// out_of_range: there is no such block.
Result<LbnExplanation> explain(VolumeImage& image, Lbn lbn);
/// Walks the whole block map, where it is about a data block, to find who refers to it.
/// out_of_range: the volume has no such block.
Result<PbnExplanation> explain(VolumeImage& image, Pbn pbn, const WalkProgress& progress = {});

}  // namespace uvdo
