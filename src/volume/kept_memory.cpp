// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/kept_memory.h"

#include <fmt/core.h>

#include "volume/volume_buffers.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kMagic = 0x5250454B4F445655;  // "UVDOKEPR"
constexpr std::uint64_t kVersion = 1;

// Numbers of block 0.
enum Word : std::size_t {
  kWordMagic = 0,
  kWordVersion = 1,
  kWordPhase = 2,
  kWordSlots = 3,
  kWordUuid = 4,  // two
  kWordNonce = 6,
  kWordRun = 7,           // three
  kWordPredecessor = 10,  // three
};

VolumeRun read_run(ConstBytes memory, std::size_t word) {
  return {shared_word(memory, word), shared_word(memory, word + 1), shared_word(memory, word + 2)};
}

}  // namespace

KeptLayout KeptLayout::of(const VolumeOptions& options) {
  return {VolumeBuffers::kept_bytes(options) / kBlockSize};
}

Result<KeptHeader> KeptHeader::read(ConstBytes memory) {
  if (memory.size() < kBlockSize || shared_word(memory, kWordMagic) != kMagic) {
    return Error(Errc::corrupt, "it is not the memory of a volume");
  }
  if (const std::uint64_t version = shared_word(memory, kWordVersion); version != kVersion) {
    return Error(Errc::unsupported,
                 fmt::format("it is of version {}, and this program knows {}", version, kVersion));
  }
  KeptHeader header;
  const std::uint64_t phase = shared_word(memory, kWordPhase);
  header.layout.slots = shared_word(memory, kWordSlots);
  if (phase > static_cast<std::uint64_t>(KeptPhase::given_up) ||
      header.layout.slots > KeptLayout::kMostSlots || memory.size() < header.layout.bytes()) {
    return Error(Errc::corrupt, "what it says of itself makes no sense");
  }
  header.phase = static_cast<KeptPhase>(phase);
  std::memcpy(header.uuid.data(), memory.data() + kWordUuid * sizeof(std::uint64_t),
              header.uuid.size());
  header.nonce = shared_word(memory, kWordNonce);
  header.run = read_run(memory, kWordRun);
  header.predecessor = read_run(memory, kWordPredecessor);
  return header;
}

std::vector<KeptBlock> kept_blocks(ConstBytes memory, const KeptHeader& header,
                                   std::uint64_t logical_blocks, std::uint64_t& wrong) {
  std::vector<KeptBlock> blocks;
  const ConstBytes records = memory.subspan(KeptLayout::records(), header.layout.records_bytes());
  const ConstBytes arena = memory.subspan(header.layout.arena());
  for (std::size_t slot = 0; slot < header.layout.slots; ++slot) {
    const std::uint64_t record = shared_word(records, slot);
    if (record == 0) continue;
    if (record > logical_blocks) {
      ++wrong;
    } else {
      blocks.push_back({Lbn{record - 1}, arena.subspan(slot * kBlockSize, kBlockSize)});
    }
  }
  return blocks;
}

KeptMemory::KeptMemory(MutableBytes memory, const KeptLayout& layout, FaultPoints faults)
    : faults_(faults), memory_(memory), layout_(layout) {
  if (memory.empty()) return;
  check(memory.size() >= layout.bytes(), "the memory that is kept is too small");
  header_ = SharedWords(memory.first(kBlockSize));
  records_ = SharedWords(memory.subspan(KeptLayout::records(), layout.records_bytes()));
  arena_ = memory.data() + layout.arena();
  header_.set(kWordPhase, static_cast<std::uint64_t>(KeptPhase::idle));
  for (std::size_t i = 0; i < layout.slots; ++i) records_.set(i, 0);
  header_.set(kWordSlots, layout.slots);
  header_.set(kWordVersion, kVersion);
  header_.set(kWordMagic, kMagic);
}

MutableBytes KeptMemory::journal() const {
  if (memory_.empty()) return {};
  return memory_.subspan(KeptLayout::journal(), JournalMemory::kBytes);
}

MutableBytes KeptMemory::arena() const {
  if (memory_.empty()) return {};
  return memory_.subspan(layout_.arena(), layout_.slots * kBlockSize);
}

void KeptMemory::write_run(std::size_t word, const VolumeRun& run) {
  header_.set(word, run.journal_start);
  header_.set(word + 1, run.recoveries);
  header_.set(word + 2, run.rebuilds);
}

void KeptMemory::begin(const VolumeGeometry& geometry, const SuperBlock& super_block,
                       KeptPhase phase, const VolumeRun& predecessor) {
  if (!is_there()) return;
  std::memcpy(memory_.data() + kWordUuid * sizeof(std::uint64_t), geometry.uuid.data(),
              geometry.uuid.size());
  header_.set(kWordNonce, geometry.nonce);
  write_run(kWordRun, VolumeRun::of(super_block));
  write_run(kWordPredecessor, predecessor);
  enter(phase);
}

void KeptMemory::rename(const SuperBlock& super_block) {
  if (is_there()) write_run(kWordRun, VolumeRun::of(super_block));
}

void KeptMemory::enter(KeptPhase phase) {
  if (!is_there()) return;
  phase_ = phase;
  header_.set(kWordPhase, static_cast<std::uint64_t>(phase));
}

}  // namespace uvdo
