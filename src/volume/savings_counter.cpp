// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/savings_counter.h"

#include <vector>

namespace uvdo {

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
  Counts& counts = blocks_.insert(mapping.pbn.value(), Counts{});
  if (counts[mapping.slot()]++ == 0) ++fragments_;
  if (blocks_.size() > kMostBlocks) halve();
}

void SavingsCounter::remove(BlockMapping mapping) {
  if (mapping.is_zero()) {
    if (mapping.is_mapped()) --zero_blocks_;
    return;
  }
  if (!mapping.is_compressed()) return;
  --fragments_mapped_;
  if (!is_sampled(mapping.pbn)) return;
  Counts* counts = blocks_.find(mapping.pbn.value());
  check(counts != nullptr && (*counts)[mapping.slot()] > 0, "a fragment was never counted");
  if (--(*counts)[mapping.slot()] > 0) return;
  --fragments_;
  if (*counts == Counts{}) blocks_.erase(mapping.pbn.value());
}

void SavingsCounter::halve() {
  ++halvings_;
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
