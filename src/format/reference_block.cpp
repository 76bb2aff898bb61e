// SPDX-License-Identifier: GPL-2.0-or-later
// Packing and unpacking of reference count blocks.
#include "format/reference_block.h"

#include <algorithm>
#include <cstring>

namespace uvdo {
namespace {
constexpr std::size_t kCommitPointSize = 8;
}

void pack_reference_block(MutableBytes block, std::span<const ReferenceCount> counts,
                          JournalPoint commit_point) {
  check(block.size() == kBlockSize && counts.size() <= kCountsPerBlock, "reference count block");
  for (std::size_t sector = 0; sector < kSectorsPerBlock; ++sector) {
    std::byte* p = block.data() + kSectorSize * sector;
    store_le64(p, commit_point.packed());
    const std::size_t n = std::min<std::size_t>(counts.size(), kCountsPerSector);
    if (n != 0) std::memcpy(p + kCommitPointSize, counts.data(), n);
    std::memset(p + kCommitPointSize + n, 0, kCountsPerSector - n);
    counts = counts.subspan(n);
  }
}

CommitPoints unpack_reference_block(ConstBytes block, std::span<ReferenceCount> counts) {
  check(block.size() == kBlockSize && counts.size() <= kCountsPerBlock, "reference count block");
  CommitPoints points;
  for (std::size_t sector = 0; sector < kSectorsPerBlock; ++sector) {
    const std::byte* p = block.data() + kSectorSize * sector;
    points[sector] = JournalPoint::from_packed(load_le64(p));
    const std::size_t n = std::min<std::size_t>(counts.size(), kCountsPerSector);
    const auto here = counts.first(n);
    if (n != 0) std::memcpy(here.data(), p + kCommitPointSize, n);
    // Hardly ever is one provisional, and to look for that is quick.
    if (n != 0 && std::memchr(here.data(), kProvisional, n) != nullptr) {
      std::ranges::replace(here, kProvisional, kFree);
    }
    counts = counts.subspan(n);
  }
  return points;
}

}  // namespace uvdo
