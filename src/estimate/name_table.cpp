// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/name_table.h"

#include <algorithm>
#include <new>

#include "base/check.h"
#include "format/reference_block.h"

namespace uvdo {
namespace {

/// Slots of a shard for its part of the names: a third stays free, and some more, as names are not
/// spread quite evenly.
std::uint64_t slots_for(std::uint64_t names, std::uint64_t shards) {
  return names / shards * 3 / 2 + 256;
}

/// Beyond fifteen sixteenths, searches for a free slot become long.
std::uint64_t most_names(std::uint64_t slots) { return slots - slots / 16; }

/// Half of a name; the other half is its hash().
std::uint64_t place_of(const RecordName& name) { return load_le64(name.bytes.data()); }

}  // namespace

NameTable::NameTable(std::uint64_t names, IndexWindow window)
    : slots_(slots_for(names, kShards)),
      window_(window),
      entries_(slots_ * kShards * sizeof(Entry)),
      // A bin has two fragments at least.
      bins_(slots_ * kShards / 2),
      shards_(std::make_unique<Shard[]>(kShards)) {}

std::uint64_t NameTable::memory_needed(std::uint64_t names) {
  const std::uint64_t slots = slots_for(names, kShards) * kShards;
  return slots * sizeof(Entry) + slots / 2;
}

NameTable::Shard& NameTable::shard_of(const RecordName& name) const {
  return shards_[place_of(name) % kShards];
}

NameTable::Entry& NameTable::find(const RecordName& name) const {
  const std::uint64_t shard = place_of(name) % kShards;
  auto* entries = reinterpret_cast<Entry*>(entries_.data()) + shard * slots_;
  // The bits above those of the shard.
  std::uint64_t slot = place_of(name) / kShards % slots_;
  while (entries[slot].references != 0 && entries[slot].key != name.hash()) {
    if (++slot == slots_) slot = 0;
  }
  return entries[slot];
}

std::atomic<std::uint8_t>& NameTable::references_of(std::uint32_t bin) const {
  check(bin < bins_.size(), "a compressed block whose references are not counted");
  return *reinterpret_cast<std::atomic<std::uint8_t>*>(bins_.data() + bin);
}

bool NameTable::add_reference(Entry& entry) {
  if (entry.is_in_bin == 0) {
    if (entry.references >= kMaxReferences) return false;
    ++entry.references;
    return true;
  }
  // Other members of the bin have locks of their own.
  std::atomic<std::uint8_t>& count = references_of(entry.bin);
  std::uint8_t seen = count.load();
  do {
    if (seen >= kMaxReferences) return false;
  } while (!count.compare_exchange_weak(seen, static_cast<std::uint8_t>(seen + 1)));
  return true;
}

std::uint32_t NameTable::open_chapter() const {
  if (window_.chapters == 0) return 0;
  // 2^23 chapters hold the names of 2 PiB; beyond, all are of the last one.
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(records_ / window_.records_per_chapter, (1U << 23U) - 1));
}

NameTable::Outcome NameTable::write(const RecordName& name) {
  Shard& shard = shard_of(name);
  const std::lock_guard guard(shard.mutex);
  Entry& entry = find(name);
  if (entry.references == 0) {
    if (shard.names >= most_names(slots_)) return {Verdict::no_room};
    ++shard.names;
  }
  const std::uint32_t chapter = open_chapter();
  const bool is_known =
      entry.references > 0 && (window_.chapters == 0 || chapter - entry.chapter < window_.chapters);
  // The index remembers a name anew in the open chapter, unless it is there already.
  if (!is_known || entry.chapter != chapter) ++records_;
  if (is_known && add_reference(entry)) {
    entry.chapter = chapter & ((1U << 23U) - 1);
    const bool is_waiting = entry.is_in_bin == 0 && entry.bin > 0;
    return is_waiting ? Outcome{Verdict::wanted, entry.bin} : Outcome{Verdict::duplicate};
  }
  entry.key = name.hash();
  entry.bin = 0;
  entry.is_in_bin = 0;
  entry.references = 1;
  entry.chapter = chapter & ((1U << 23U) - 1);
  return {Verdict::stored};
}

void NameTable::wait_in_packer(const RecordName& name, std::size_t size) {
  const std::lock_guard guard(shard_of(name).mutex);
  Entry& entry = find(name);
  if (entry.references == 0) return;
  entry.is_in_bin = 0;
  entry.bin = static_cast<std::uint32_t>(size);
}

void NameTable::place_alone(const RecordName& name) {
  const std::lock_guard guard(shard_of(name).mutex);
  Entry& entry = find(name);
  if (entry.is_in_bin != 0) return;
  entry.bin = 0;
}

void NameTable::place_in_bin(const RecordName& name, std::uint32_t bin) {
  const std::lock_guard guard(shard_of(name).mutex);
  Entry& entry = find(name);
  if (entry.references == 0) return;
  if (bin >= bins_.size()) {
    entry.bin = 0;
    entry.is_in_bin = 0;
    return;
  }
  std::atomic<std::uint8_t>& count = references_of(bin);
  // Those that came while it waited are the block's as well.
  std::uint8_t seen = count.load();
  std::uint8_t sum = 0;
  do {
    sum = static_cast<std::uint8_t>(
        std::min<unsigned>(kMaxReferences, static_cast<unsigned>(seen) + entry.references));
  } while (!count.compare_exchange_weak(seen, sum));
  entry.bin = bin;
  entry.is_in_bin = 1;
}

}  // namespace uvdo
