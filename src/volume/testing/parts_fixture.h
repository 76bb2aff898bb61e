// SPDX-License-Identifier: GPL-2.0-or-later
// What the parts of a volume stand on: a ledger on a simulated disk, the gates on the way there,
// the entrance, and memory. A part itself is made by its test.
#pragma once

#include <cstring>
#include <random>

#include "index/bounded_memory_index.h"
#include "ledger/testing/ledger_fixture.h"
#include "volume/device_gates.h"
#include "volume/in_flight.h"
#include "volume/index_holder.h"
#include "volume/pool_sizes.h"
#include "volume/testing/entrance_bench.h"
#include "volume/volume_buffers.h"
#include "volume/write_admission.h"
#include "volume/write_jobs.h"

namespace uvdo::testing {

/// Fills a block with data that only `number` decides, and LZ4 can do nothing with.
inline void fill_with_noise(MutableBytes block, std::uint64_t number) {
  std::mt19937_64 random(number);
  for (std::size_t at = 0; at < block.size(); at += 8) {
    const std::uint64_t word = random();
    std::memcpy(block.data() + at, &word, 8);
  }
}
/// The same with data of which LZ4 makes an eighth.
inline void fill_compressible(MutableBytes block, std::uint64_t number) {
  std::memset(block.data(), 1, block.size());
  fill_with_noise(block.first(block.size() / 8), number);
}
/// A block of noise.
inline AlignedMemory noise(std::uint64_t number) {
  AlignedMemory block(kBlockSize);
  fill_with_noise(block.bytes(), number);
  return block;
}
inline bool are_equal(ConstBytes a, ConstBytes b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

class PartsFixture : public LedgerFixture {
 protected:
  PartsFixture() {
    life.enter(VolumeLife::Stage::in_use);
    auto made = std::make_unique<BoundedMemoryIndex>(4096);
    index = made.get();
    index_holder.use(std::move(made));
  }
  /// With little memory, so that what runs short does so soon.
  static VolumeOptions small_options() {
    VolumeOptions options;
    options.buffer_bytes = 1U << 20U;
    options.internal_buffer_bytes = 1U << 20U;
    options.packer_fragments = 16;
    options.write_jobs = 8;
    return options;
  }

  struct New {
    Lbn lbn;
    std::uint64_t number = 0;  ///< of its data; 0: zeros
    void (*fill)(MutableBytes, std::uint64_t) = fill_with_noise;
  };
  /// A write of these blocks, in ascending order, on its way: they are locked, have leaves, and
  /// are promised room if there is some.
  template <class... Blocks>
  Task<WriteJob*> accept(Blocks... blocks) {
    return accept_all(std::vector<New>{blocks...});
  }
  Task<WriteJob*> accept_all(std::vector<New> blocks) {
    WriteJob& job = jobs.take();
    for (const New& block : blocks) {
      Buffer data = co_await buffers.clients.acquire(kBlockSize);
      std::memset(data.data(), 0, kBlockSize);
      if (block.number != 0) block.fill(data.bytes(), block.number);
      co_await in_flight.locks().lock(block.lbn);
      [[maybe_unused]] const LeafPin leaf = co_await leaf_of(block.lbn);
      in_flight.locks().publish(block.lbn, data.data());
      job.add(block.lbn, std::move(data));
    }
    job.has_promise = depot.reserve(job.count);
    if (job.has_promise) job.promised = static_cast<std::uint32_t>(job.count);
    co_return &job;
  }
  /// Stores noise and maps a block to it, as one that was written long ago.
  Task<Pbn> put(Lbn lbn, std::uint64_t number) {
    const Pbn pbn = new_block();
    const AlignedMemory data = noise(number);
    auto written = co_await device.write(byte_of(pbn), data.bytes());
    EXPECT_TRUE(written.ok());
    co_await map_to(lbn, mapped_to(pbn), Ledger::Owner::caller);
    co_return pbn;
  }
  /// `owner`: of the block; there is one more reference to it unless it is the caller's.
  Task<void> map_to(Lbn lbn, BlockMapping mapping, Ledger::Owner owner = Ledger::Owner::others) {
    LeafPin leaf = co_await leaf_of(lbn);
    if (mapping.is_zero()) owner = Ledger::Owner::caller;
    auto changed = ledger->remap(*leaf, lbn, mapping, owner);
    EXPECT_TRUE(changed.ok());
    EXPECT_EQ(changed->outcome, Ledger::Outcome::done);
  }
  /// Takes all blocks that are free.
  void fill_up() {
    std::uint64_t left = depot.free_blocks();
    EXPECT_TRUE(depot.reserve(left));
    while (left > 0) left -= depot.allocate(static_cast<std::uint32_t>(left), true)->count;
  }
  [[nodiscard]] std::uint64_t requests_of(Device::Op op) const { return device.count_of(op); }
  PbnDevice blocks() { return {gates.top(), layout->geometry.bio_offset}; }

  VolumeOptions options = small_options();
  DeviceGates gates{executor, device, std::chrono::seconds(10)};
  SlabDepot& depot = make_ledger(gates.top()).depot();
  EntranceBench bench{executor, gates.flushes, notifier, layout->super_block,
                      layout->geometry.data_start};
  SuperBlockStore& super_blocks = bench.super_blocks;
  VolumeLife& life = bench.life;
  Entrance& entrance = bench.entrance;
  VolumeCounters counters;
  VolumeBuffers buffers{executor, options};
  WriteAdmission admission{executor, gates.room,      "the disk",      life,
                           entrance, buffers.clients, counters.errors, log_to()};
  InFlight in_flight{executor, blocks_at_once(options)};
  WriteJobs jobs{executor, options.write_jobs};
  IndexHolder index_holder{executor, life, entrance, options, log_to()};
  DedupeIndex* index = nullptr;
};

}  // namespace uvdo::testing
