// SPDX-License-Identifier: GPL-2.0-or-later
// Passes over the ring of the recovery journal: one to find its extent, others for its entries.
#include "inspect/journal_replay.h"

#include <algorithm>

#include <fmt/core.h>

#include "inspect/volume_image.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocksPerRead = 256;
// Each is a sentence; all are counted.
constexpr std::size_t kUnreadableKept = 20;

/// The blocks of the ring by their places. What cannot be read is all zeros, which never count.
class RingReader {
 public:
  enum class After : std::uint8_t { go_on, give_up };
  /// Told, once, of each place that cannot be read; says what is to be done then.
  using OnError = std::function<After(const Error&)>;

  RingReader(const VolumeImage& image, OnError on_error)
      : image_(image),
        on_error_(std::move(on_error)),
        origin_(image.super_block().find(PartitionId::recovery_journal).start),
        size_(image.super_block().config.journal_size),
        buffer_(std::min(kBlocksPerRead, size_) * kBlockSize) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Valid until the next call.
  ConstBytes block(std::uint64_t place) {
    if (place < first_ || place - first_ >= count_) read(place);
    return ConstBytes(buffer_).subspan((place - first_) * kBlockSize, kBlockSize);
  }
  /// Calls f(place, block) for all places in their order, but for holes of a sparse file: they read
  /// as zeros. Where the next hole is, is asked once for all blocks that are read together.
  template <class F>
  void for_each(F&& f) {
    for (std::uint64_t place = 0; place < size_ && after_ == After::go_on;) {
      place += image_.hole_blocks(origin_ + place, size_ - place);
      if (place >= size_) break;
      read(place);
      if (after_ == After::give_up) break;
      for (const std::uint64_t end = first_ + count_; place < end; ++place) f(place, block(place));
    }
  }

 private:
  void read(std::uint64_t place) {
    first_ = place;
    count_ = std::min(buffer_.size() / kBlockSize, size_ - place);
    const MutableBytes chunk = MutableBytes(buffer_).first(count_ * kBlockSize);
    // Some of it cannot be read: block by block, to lose no more than has to be.
    if (image_.read_blocks(origin_ + place, chunk)) return;
    for (std::uint64_t i = 0; i < count_ && after_ == After::go_on; ++i) {
      const MutableBytes block = chunk.subspan(i * kBlockSize, kBlockSize);
      auto done = image_.read_blocks(origin_ + place + i, block);
      if (done) continue;
      std::ranges::fill(block, std::byte{0});
      if (place + i < noted_) continue;  // it has been read before
      noted_ = place + i + 1;
      after_ = on_error_(done.error());
    }
  }

  const VolumeImage& image_;
  OnError on_error_;
  Pbn origin_;
  std::uint64_t size_;
  std::vector<std::byte> buffer_;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t noted_ = 0;  // places below
  After after_ = After::go_on;
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
  Result<void> done;
  RingReader ring(image, [&](const Error& error) {
    done = error.clone();
    return RingReader::After::give_up;
  });
  ring.for_each([&](std::uint64_t place, ConstBytes block) {
    const JournalBlockHeader header = decode_journal_header(block);
    if (counts(header, super.nonce, super.recovery_count(), ring.size(), place)) {
      f(place, header, block);
    }
  });
  return done;
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
  RingReader ring(image, [&](const Error& error) {
    ++replay.unreadable_blocks;
    if (replay.unreadable.size() < kUnreadableKept) {
      replay.unreadable.push_back(error.within("reading the recovery journal").message());
    }
    return RingReader::After::go_on;
  });
  // First all blocks tell how far the journal is usable; then those that are asked for are read
  // again for their entries, in order.
  JournalViewBuilder builder(image.super_block());
  ring.for_each([&](std::uint64_t place, ConstBytes block) { builder.survey(place, block); });
  builder.begin();
  const JournalSequence head = builder.extent().slab_journal_head;
  while (const auto wanted = builder.wanted()) {
    builder.take(ring.block(wanted->value() % ring.size()),
                 [&](JournalSequence sequence, unsigned index, const JournalEntry& entry) {
                   // Changes of counts from before the slab journal head are in the slab journals
                   // already.
                   if (sequence < head) return;
                   const JournalPoint point{sequence.value(), static_cast<std::uint16_t>(index)};
                   add_counts(replay, image.slabs(), point, entry);
                 });
  }
  // Changes of pages are in the view; those of counts have been collected beside it.
  auto view = builder.finish();
  if (!view) return std::move(view).error();
  replay.view = std::move(*view);
  // Stable: of one slab they stay in the order of the journal.
  std::ranges::stable_sort(replay.count_changes, {}, &CountChange::slab);
  return replay;
}

}  // namespace uvdo
