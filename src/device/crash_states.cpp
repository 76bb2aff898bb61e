// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/crash_states.h"

#include <algorithm>
#include <unordered_set>

#include "base/block_types.h"

namespace uvdo {
namespace {

/// A bit for each sector of a block: all.
constexpr std::uint8_t kWhole = 0xFF;

/// Writes the sectors that `mask` keeps, the same ones of each block.
void apply(SparseImage& image, std::uint64_t offset, const std::vector<std::byte>& data,
           std::uint8_t mask) {
  const ConstBytes bytes(data);
  if (mask == kWhole) {
    image.write(offset, bytes);
    return;
  }
  for (std::size_t at = 0; at < bytes.size(); at += kSectorSize) {
    if (((mask >> (at / kSectorSize % 8)) & 1U) == 0) continue;
    image.write(offset + at, bytes.subspan(at, kSectorSize));
  }
}

}  // namespace

bool CrashPoints::next() {
  if (position_ == recording_.events.size()) return false;
  const SimEvent& event = recording_.events[position_++];
  switch (event.kind) {
    case SimEvent::Kind::write_submitted:
      pending_.push_back({event.number, event.offset, event.payload, false, event.fua});
      break;
    case SimEvent::Kind::write_completed: {
      const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& write) {
        return write.number == event.number;
      });
      found->completed = true;
      // It moves behind the last completed one, before those in flight.
      const auto target = std::find_if(pending_.begin(), found,
                                       [](const Pending& write) { return !write.completed; });
      std::rotate(target, found, found + 1);
      break;
    }
    case SimEvent::Kind::flush_submitted: {
      // What completes after its submission it does not cover.
      Flush flush{event.number, {}};
      for (const Pending& write : pending_) {
        if (write.completed) flush.covered.push_back(write.number);
      }
      flushes_.push_back(std::move(flush));
      break;
    }
    case SimEvent::Kind::flush_completed: {
      const auto flush = std::find_if(flushes_.begin(), flushes_.end(), [&](const Flush& other) {
        return other.number == event.number;
      });
      for (const std::uint64_t number : flush->covered) {
        const auto write =
            std::find_if(pending_.begin(), pending_.end(),
                         [&](const Pending& other) { return other.number == number; });
        if (write == pending_.end()) continue;  // another flush has covered it already
        apply(durable_, write->offset, *write->payload, kWhole);
        pending_.erase(write);
      }
      flushes_.erase(flush);
      break;
    }
  }
  return true;
}

SparseImage CrashPoints::build(const std::vector<std::uint8_t>& masks) const {
  SparseImage image = durable_;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    // Answered with FUA: no cut takes it away.
    const bool stable = pending_[i].fua && pending_[i].completed;
    const std::uint8_t mask = stable ? kWhole : masks[i];
    if (mask != 0) apply(image, pending_[i].offset, *pending_[i].payload, mask);
  }
  return image;
}

std::vector<SparseImage> CrashPoints::states(const CrashStateOptions& options,
                                             SimRandom& random) const {
  std::vector<SparseImage> images;
  std::unordered_set<std::uint64_t> seen;
  // Many choices make the same content.
  const auto add = [&](const std::vector<std::uint8_t>& masks) {
    SparseImage image = build(masks);
    if (seen.insert(image.hash()).second) images.push_back(std::move(image));
  };
  const std::size_t count = pending_.size();
  std::vector<std::uint8_t> masks(count, 0);
  // Every subset where there are few; else none, all, all but one, and some by chance.
  if (count <= options.exhaustive_up_to) {
    for (std::uint64_t subset = 0; subset < (std::uint64_t{1} << count); ++subset) {
      for (std::size_t i = 0; i < count; ++i) masks[i] = ((subset >> i) & 1U) != 0 ? kWhole : 0;
      add(masks);
    }
  } else {
    add(masks);
    std::fill(masks.begin(), masks.end(), kWhole);
    add(masks);
    for (std::size_t i = 0; i < count; ++i) {
      masks[i] = 0;
      add(masks);
      masks[i] = kWhole;
    }
    for (std::size_t sample = 0; sample < options.samples; ++sample) {
      const std::uint64_t eighths = random.between(1, 7);
      for (std::uint8_t& mask : masks) mask = random.chance(eighths, 8) ? kWhole : 0;
      add(masks);
    }
  }
  for (std::size_t sample = 0; count > 0 && sample < options.torn_samples; ++sample) {
    const std::uint64_t quarters = random.between(1, 4);
    for (std::uint8_t& mask : masks) mask = random.chance(quarters, 4) ? kWhole : 0;
    // One write of those that are kept, or not, is cut into its sectors.
    std::uint8_t& torn = masks[random.below(count)];
    switch (random.below(3)) {
      case 0: torn = static_cast<std::uint8_t>(1U << random.below(8)); break;
      case 1: torn = static_cast<std::uint8_t>(~(1U << random.below(8))); break;
      default: torn = static_cast<std::uint8_t>(random.between(1, 254)); break;
    }
    add(masks);
  }
  return images;
}

std::vector<SparseImage> crash_states(const SimRecording& recording, std::size_t position,
                                      const CrashStateOptions& options, SimRandom& random) {
  CrashPoints points(recording);
  while (points.position() < position && points.next()) {
  }
  return points.states(options, random);
}

}  // namespace uvdo
