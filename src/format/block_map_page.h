// SPDX-License-Identifier: GPL-2.0-or-later
// A page of the block map, leaf or interior: a header that says whose page it is, and 812 entries
// (volume.md, 6.2). All functions work in place on 4096 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/block_types.h"
#include "base/bytes.h"
#include "format/block_mapping.h"

namespace uvdo {

inline constexpr unsigned kEntriesPerPage = 812;
inline constexpr std::size_t kPageVersionOffset = 0;
inline constexpr std::size_t kPageNonceOffset = 8;
inline constexpr std::size_t kPagePbnOffset = 16;
inline constexpr std::size_t kPageInitializedOffset = 32;
inline constexpr std::size_t kPageHeaderSize = 36;
static_assert(kPageHeaderSize + kEntriesPerPage * kBlockMappingSize == kBlockSize);

enum class PageStatus {
  valid,    ///< initialized, and this page
  invalid,  ///< of an earlier volume or not yet initialized: all its entries count as unmapped
  bad,      ///< a valid page of another place: an error
};

/// What a page read at `pbn` is worth.
[[nodiscard]] PageStatus page_status(ConstBytes page, std::uint64_t nonce, Pbn pbn);

/// Makes `page` an empty page at `pbn`, not yet initialized: the form of its first write.
void format_page(MutableBytes page, std::uint64_t nonce, Pbn pbn);

/// Marks a page complete (or not). A reader takes a page that is not for an empty one.
inline void set_initialized(MutableBytes page, bool initialized = true) {
  check(page.size() == kBlockSize, "a block map page is 4096 bytes");
  store_u8(page.data() + kPageInitializedOffset, initialized ? 1 : 0);
}
[[nodiscard]] inline bool is_initialized(ConstBytes page) {
  check(page.size() == kBlockSize, "a block map page is 4096 bytes");
  return load_u8(page.data() + kPageInitializedOffset) != 0;
}

/// Entry `slot` (below 812) of a page that is valid.
[[nodiscard]] inline BlockMapping entry(ConstBytes page, unsigned slot) {
  check(page.size() == kBlockSize && slot < kEntriesPerPage, "no such block map entry");
  return decode_block_mapping(page.data() + kPageHeaderSize + kBlockMappingSize * slot);
}
inline void set_entry(MutableBytes page, unsigned slot, BlockMapping mapping) {
  check(page.size() == kBlockSize && slot < kEntriesPerPage, "no such block map entry");
  encode_block_mapping(mapping, page.data() + kPageHeaderSize + kBlockMappingSize * slot);
}

}  // namespace uvdo
