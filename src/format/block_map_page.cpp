// SPDX-License-Identifier: GPL-2.0-or-later
// Headers of block map pages.
#include "format/block_map_page.h"

#include <cstring>

namespace uvdo {
namespace {
constexpr std::uint32_t kMajorVersion = 4;
constexpr std::uint32_t kMinorVersion = 1;
}  // namespace

PageStatus page_status(ConstBytes page, std::uint64_t nonce, Pbn pbn) {
  check(page.size() == kBlockSize, "a block map page is 4096 bytes");
  const std::byte* p = page.data();
  if (load_le32(p + kPageVersionOffset) != kMajorVersion ||
      load_le32(p + kPageVersionOffset + 4) != kMinorVersion ||
      load_le64(p + kPageNonceOffset) != nonce || !is_initialized(page)) {
    return PageStatus::invalid;
  }
  return load_le64(p + kPagePbnOffset) == pbn.value() ? PageStatus::valid : PageStatus::bad;
}

void format_page(MutableBytes page, std::uint64_t nonce, Pbn pbn) {
  check(page.size() == kBlockSize, "a block map page is 4096 bytes");
  std::byte* p = page.data();
  std::memset(p, 0, page.size());
  store_le32(p + kPageVersionOffset, kMajorVersion);
  store_le32(p + kPageVersionOffset + 4, kMinorVersion);
  store_le64(p + kPageNonceOffset, nonce);
  store_le64(p + kPagePbnOffset, pbn.value());
}

}  // namespace uvdo
