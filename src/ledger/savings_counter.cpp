// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger/savings_counter.h"

#include <vector>

namespace uvdo {

/// Multiplying by an odd constant mixes the number, so that the blocks kept are no range of the
/// disk; the top `halvings_` bits of the product are 0 for one block in 2^halvings_. Which blocks
/// these are only shrinks with each halving: whoever was left out once stays out.
bool SavingsCounter::is_sampled(Pbn pbn) const {
  constexpr unsigned kBits = 64;
  return halvings_ == 0 || (pbn.value() * 0xD6E8FEB86659FD93U) >> (kBits - halvings_) == 0;
}

void SavingsCounter::add(BlockMapping mapping) {
  if (mapping.is_zero()) {
    if (mapping.is_mapped()) ++zero_blocks_;
    return;
  }
  if (!mapping.is_compressed()) return;
  ++fragments_mapped_;
  if (!is_sampled(mapping.pbn)) return;
  std::uint8_t& count = blocks_.insert(mapping.pbn.value(), Counts{})[mapping.slot()];
  if (count == 0) ++fragments_;
  if (count < kManyReferences) ++count;
  if (blocks_.size() > kMostBlocks) halve();
}

void SavingsCounter::remove(BlockMapping mapping) {
  if (mapping.is_zero()) {
    if (mapping.is_mapped() && zero_blocks_ > 0) --zero_blocks_;
    return;
  }
  if (!mapping.is_compressed()) return;
  if (fragments_mapped_ > 0) --fragments_mapped_;
  if (!is_sampled(mapping.pbn)) return;
  // On a damaged map an entry may lead beyond the volume, and is not counted; growth makes it one
  // like others. Or there are more of them than the block can have references.
  Counts* counts = blocks_.find(mapping.pbn.value());
  if (counts == nullptr) return;
  std::uint8_t& count = (*counts)[mapping.slot()];
  // A count that has reached its limit has lost the number: it stays there.
  if (count == 0 || count == kManyReferences) return;
  if (--count > 0) return;
  --fragments_;
  if (*counts == Counts{}) blocks_.erase(mapping.pbn.value());
}

/// Drops every block that is not of the smaller sample, and counts the fragments of those left.
void SavingsCounter::halve() {
  ++halvings_;
  // The table must not change while it is walked over.
  std::vector<std::uint64_t> dropped;
  fragments_ = 0;
  blocks_.for_each([&](std::uint64_t pbn, const Counts& counts) {
    if (!is_sampled(Pbn{pbn})) {
      dropped.push_back(pbn);
      return;
    }
    fragments_ += static_cast<std::uint64_t>(
        std::ranges::count_if(counts, [](std::uint8_t count) { return count > 0; }));
  });
  for (const std::uint64_t pbn : dropped) blocks_.erase(pbn);
}

}  // namespace uvdo
