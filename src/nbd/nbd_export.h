// SPDX-License-Identifier: GPL-2.0-or-later
// The volumes that an NBD server offers, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "block/block_service.h"
#include "nbd/nbd_protocol.h"

namespace uvdo {

/// A volume under a name. What clients may send to it is judge()'s to say.
struct NbdExport {
  std::string name;         ///< at most 4096 bytes of UTF-8
  std::string description;  ///< for people; may be empty
  BlockService* service = nullptr;
  /// Requests must be multiples of this: 1, 512 or 4096 bytes.
  std::uint32_t minimum_block = nbd::kMinimumBlock;
};

/// Filled before the server starts and unchanged from then on, so that connections may keep
/// pointers to entries.
class NbdExports {
 public:
  void add(NbdExport entry) { entries_.push_back(std::move(entry)); }
  /// The export of that name; the empty name means the only one.
  [[nodiscard]] const NbdExport* find(std::string_view name) const {
    for (const NbdExport& entry : entries_) {
      if (entry.name == name) return &entry;
    }
    return name.empty() && entries_.size() == 1 ? &entries_.front() : nullptr;
  }
  [[nodiscard]] const std::vector<NbdExport>& entries() const { return entries_; }

 private:
  std::vector<NbdExport> entries_;
};

}  // namespace uvdo
