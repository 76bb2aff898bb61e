// SPDX-License-Identifier: GPL-2.0-or-later
// What an inspection has to say about a volume: one thing that is wrong, or worth knowing.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace uvdo {

enum class FindingKind : std::uint8_t {
  super_block,
  state,
  block_map_page,    ///< a page that is damaged, or that cannot be read
  block_map_tree,    ///< an interior entry that leads nowhere, or to a page already used
  mapping,           ///< a leaf entry that is not valid, or too many for one block
  compressed_block,  ///< a fragment that does not decompress
  unreadable,        ///< the device fails there, or ends before
  reference_count,   ///< a count that is not the number of references
  slab_journal,
  slab_summary,
  recovery_journal,
  logical_blocks_used,  ///< the counter of the super block or journal is wrong
  block_map_blocks,     ///< likewise
  new_volume,           ///< a volume that was never started is not empty
};
inline constexpr std::size_t kFindingKinds = 14;

/// "reference count", "slab journal", ...
[[nodiscard]] std::string_view name_of(FindingKind kind);

struct Finding {
  FindingKind kind = FindingKind::super_block;
  bool is_error = true;  ///< false: worth knowing, but no inconsistency
  std::string text;
};

/// Called for each finding when it is found, in the order of the inspection.
using FindingSink = std::function<void(const Finding&)>;

}  // namespace uvdo
