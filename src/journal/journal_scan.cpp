// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/journal_scan.h"

#include <algorithm>

namespace uvdo {
namespace {

// 1 MiB: a ring of 32768 blocks takes 128 requests, and the memory is next to nothing.
constexpr std::uint64_t kBlocksPerRead = 256;

}  // namespace

JournalRing journal_ring(const SuperBlock& super_block) {
  const Partition partition = super_block.find(PartitionId::recovery_journal);
  return {partition.start, partition.blocks};
}

JournalReader::JournalReader(PbnDevice device, const JournalRing& ring)
    : device_(device),
      ring_(ring),
      chunk_(static_cast<std::size_t>(std::min(kBlocksPerRead, ring.size)) * kBlockSize) {}

Task<Result<void>> JournalReader::read(std::uint64_t place) {
  count_ = 0;
  const std::uint64_t count = std::min(chunk_.size() / kBlockSize, ring_.size - place);
  // The chunk claims to hold nothing while it is read, so that an error leaves no mixture behind.
  auto done = co_await device_.read(ring_.start + place, chunk_.bytes().first(count * kBlockSize));
  if (!done) co_return std::move(done).error().within("reading the recovery journal");
  first_ = place;
  count_ = count;
  co_return done;
}

namespace {

/// Shows all places of the ring to a JournalScan or JournalViewBuilder.
template <class Scan>
Task<Result<void>> survey(JournalReader& reader, Scan& scan) {
  for (std::uint64_t place = 0; place < reader.ring().size; ++place) {
    auto block = co_await reader.block(JournalSequence{place});
    if (!block) co_return std::move(block).error();
    scan.survey(place, *block);
  }
  co_return Result<void>();
}

/// Shows it all that it wants to see, from begin() on.
template <class Scan>
Task<Result<void>> show(JournalReader& reader, Scan& scan) {
  const auto nothing = [](JournalSequence, unsigned, const JournalEntry&) {};
  scan.begin();
  Result<void> done;
  while (const auto sequence = scan.wanted()) {
    auto block = co_await reader.block(*sequence);
    if (!block) co_return std::move(block).error();
    scan.take(*block, nothing);
  }
  co_return done;
}

}  // namespace

Task<Result<JournalExtent>> find_journal_extent(PbnDevice device, const JournalRing& ring,
                                                const SuperBlock& super_block) {
  JournalScan scan(super_block);
  JournalReader reader(device, ring);
  auto done = co_await survey(reader, scan);
  if (!done) co_return std::move(done).error();
  co_return scan.extent();
}

Task<Result<UsableJournal>> find_usable_journal(PbnDevice device, const JournalRing& ring,
                                                const SuperBlock& super_block) {
  JournalScan scan(super_block);
  JournalReader reader(device, ring);
  auto done = co_await survey(reader, scan);
  if (done) done = co_await show(reader, scan);
  if (!done) co_return std::move(done).error();
  co_return scan.finish();
}

Task<Result<JournalView>> view_journal(PbnDevice device, const JournalRing& ring,
                                       const SuperBlock& super_block,
                                       const MemoryCheck& has_memory) {
  JournalViewBuilder builder(super_block);
  JournalReader reader(device, ring);
  auto done = co_await survey(reader, builder);
  if (done) done = has_memory(builder.memory_bound());
  if (done) done = co_await show(reader, builder);
  if (!done) co_return std::move(done).error();
  co_return builder.finish();
}

}  // namespace uvdo
