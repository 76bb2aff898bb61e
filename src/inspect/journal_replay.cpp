// SPDX-License-Identifier: GPL-2.0-or-later
// Passes over the ring of the recovery journal: one to find its extent, others for its entries.
#include "inspect/journal_replay.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "inspect/volume_image.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocksPerRead = 256;
constexpr std::size_t kUnreadableKept = 20;

/// The blocks of the ring by their places. What cannot be read is all zeros, which never counts.
class RingReader {
 public:
  RingReader(const VolumeImage& image, JournalReplay& replay)
      : image_(image),
        replay_(replay),
        origin_(image.super_block().find(PartitionId::recovery_journal).start),
        size_(image.super_block().config.journal_size),
        buffer_(std::min(kBlocksPerRead, size_) * kBlockSize) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// How many places from `place` on are a hole of a sparse file.
  [[nodiscard]] std::uint64_t hole(std::uint64_t place) const {
    return image_.hole_blocks(origin_ + place, size_ - place);
  }
  /// Valid until the next call.
  ConstBytes block(std::uint64_t place) {
    if (place < first_ || place - first_ >= count_) read(place);
    return ConstBytes(buffer_).subspan((place - first_) * kBlockSize, kBlockSize);
  }

 private:
  void read(std::uint64_t place) {
    first_ = place;
    count_ = std::min(buffer_.size() / kBlockSize, size_ - place);
    const MutableBytes chunk = MutableBytes(buffer_).first(count_ * kBlockSize);
    if (image_.read_blocks(origin_ + place, chunk)) return;
    for (std::uint64_t i = 0; i < count_; ++i) {
      const MutableBytes block = chunk.subspan(i * kBlockSize, kBlockSize);
      auto done = image_.read_blocks(origin_ + place + i, block);
      if (done) continue;
      std::ranges::fill(block, std::byte{0});
      note(place + i, done.error());
    }
  }
  void note(std::uint64_t place, const Error& error) {
    if (place < noted_) return;  // it has been read before
    noted_ = place + 1;
    ++replay_.unreadable_blocks;
    if (replay_.unreadable.size() < kUnreadableKept) {
      replay_.unreadable.push_back(error.within("reading the recovery journal").message());
    }
  }

  const VolumeImage& image_;
  JournalReplay& replay_;
  Pbn origin_;
  std::uint64_t size_;
  std::vector<std::byte> buffer_;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t noted_ = 0;  // places below
};

void add_counts(JournalReplay& replay, const SlabLayout& slabs, JournalPoint point,
                const JournalEntry& entry) {
  const bool is_map = entry.operation == JournalOperation::block_map_remapping;
  if (const Pbn pbn = entry.new_mapping.pbn; pbn != kZeroPbn) {
    replay.count_changes.emplace_back(
        point.expanded_increment(), slabs.slab_of(pbn), slabs.sbn_of(pbn),
        is_map ? CountChange::Kind::map_increment : CountChange::Kind::increment);
  }
  if (const Pbn pbn = entry.old_mapping.pbn; pbn != kZeroPbn) {
    replay.count_changes.emplace_back(point.expanded_decrement(), slabs.slab_of(pbn),
                                      slabs.sbn_of(pbn), CountChange::Kind::decrement);
  }
}

}  // namespace

Result<void> for_each_journal_block(const VolumeImage& image, const JournalBlockVisitor& f) {
  const SuperBlock& super = image.super_block();
  const Pbn origin = super.find(PartitionId::recovery_journal).start;
  const std::uint64_t size = super.config.journal_size;
  std::vector<std::byte> buffer(std::min(kBlocksPerRead, size) * kBlockSize);
  for (std::uint64_t place = 0; place < size;) {
    // A hole reads as zeros, which never count.
    place += image.hole_blocks(origin + place, size - place);
    const std::uint64_t n = std::min(buffer.size() / kBlockSize, size - place);
    if (n == 0) break;
    const MutableBytes chunk = MutableBytes(buffer).first(n * kBlockSize);
    if (auto ok = image.read_blocks(origin + place, chunk); !ok) return ok;
    for (std::uint64_t i = 0; i < n; ++i) {
      const ConstBytes block = chunk.subspan(i * kBlockSize, kBlockSize);
      const JournalBlockHeader header = decode_journal_header(block);
      if (counts(header, super.nonce, super.recovery_count(), size, place + i)) {
        f(place + i, header, block);
      }
    }
    place += n;
  }
  return {};
}

Result<JournalOverview> survey_journal(const VolumeImage& image) {
  JournalOverview result;
  const JournalSequence start = image.super_block().journal.journal_start;
  auto ok = for_each_journal_block(
      image, [&](std::uint64_t, const JournalBlockHeader& header, ConstBytes) {
        ++result.blocks;
        if (header.sequence < start) return;
        if (result.current_blocks++ == 0) {
          result.first_current = result.last_current = header.sequence;
        }
        result.first_current = std::min(result.first_current, header.sequence);
        result.last_current = std::max(result.last_current, header.sequence);
      });
  if (!ok) return std::move(ok).error();
  return result;
}

// Not equal_range of <ranges>: Clang 14 cannot take libstdc++'s subrange apart.
std::span<const CountChange> JournalReplay::changes_of_slab(SlabNumber slab) const {
  const auto first = std::ranges::lower_bound(count_changes, slab, {}, &CountChange::slab);
  const auto last = std::ranges::upper_bound(count_changes, slab, {}, &CountChange::slab);
  return {first, last};
}

Result<JournalReplay> replay_journal(const VolumeImage& image) {
  JournalReplay replay;
  RingReader ring(image, replay);
  JournalViewBuilder builder(image.super_block());
  for (std::uint64_t place = 0; place < ring.size(); ++place) {
    // A hole reads as zeros, which never count.
    place += ring.hole(place);
    if (place < ring.size()) builder.survey(place, ring.block(place));
  }
  builder.begin();
  const JournalSequence head = builder.extent().slab_journal_head;
  while (const auto wanted = builder.wanted()) {
    builder.take(ring.block(wanted->value() % ring.size()),
                 [&](JournalSequence sequence, unsigned index, const JournalEntry& entry) {
                   if (sequence < head) return;
                   const JournalPoint point{sequence.value(), static_cast<std::uint16_t>(index)};
                   add_counts(replay, image.slabs(), point, entry);
                 });
  }
  auto view = builder.finish();
  if (!view) return std::move(view).error();
  replay.view = std::move(*view);
  std::ranges::stable_sort(replay.count_changes, {}, &CountChange::slab);
  return replay;
}

}  // namespace uvdo
