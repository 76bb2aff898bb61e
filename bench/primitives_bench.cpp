// SPDX-License-Identifier: GPL-2.0-or-later
// What the parts of a block's way cost one by one, over 16 MiB of data: the hash, LZ4, comparing,
// copying, the journal's entries, the map. Nanoseconds for a block or an entry, best of nine
// rounds. The index has a benchmark of its own (index_bench).
#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "arguments/arguments.h"
#include "base/aligned_memory.h"
#include "base/crc32.h"
#include "base/flat_map.h"
#include "format/block_map_page.h"
#include "format/compressed_block.h"
#include "format/record_name.h"
#include "format/recovery_journal_block.h"
#include "format/zero_block.h"
#include "workload/block_pattern.h"

namespace uvdo {
namespace {

constexpr std::size_t kBlocks = 4096;  // 16 MiB: more than the caches of one processor hold
constexpr int kRounds = 9;

/// Keeps the compiler from leaving out what produces `value`.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

class Primitives {
 public:
  Primitives()
      : unique_(kBlocks * kBlockSize),
        copies_(kBlocks * kBlockSize),
        compressible_(kBlocks * kBlockSize),
        zeros_(kBlocks * kBlockSize) {
    const BlockPatterns patterns;
    patterns.fill(unique_.bytes(), Pattern::unique, 1);
    patterns.fill(compressible_.bytes(), Pattern::compressible, 1);
    std::memcpy(copies_.data(), unique_.data(), unique_.size());
  }

  void run() {
    hash();
    compress();
    move();
    metadata();
  }
  [[nodiscard]] const nlohmann::ordered_json& results() const { return results_; }

 private:
  /// `round` does `count` operations.
  void measure(const char* name, std::size_t count, const std::function<void()>& round) {
    double best = std::numeric_limits<double>::max();
    for (int i = 0; i < kRounds; ++i) {
      const auto start = std::chrono::steady_clock::now();
      round();
      const std::chrono::duration<double, std::nano> time =
          std::chrono::steady_clock::now() - start;
      // The best round is the one that was disturbed least.
      best = std::min(best, time.count() / static_cast<double>(count));
    }
    results_[name] = best;
  }

  void hash() {
    measure("record name, one block", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) keep(record_name_of(unique_.block(i).data()));
    });
    measure("record names, 32 blocks at once", kBlocks, [&] {
      std::array<const std::byte*, 32> blocks{};
      std::array<RecordName, 32> names;
      for (std::size_t i = 0; i < kBlocks; i += blocks.size()) {
        for (std::size_t n = 0; n < blocks.size(); ++n) blocks[n] = unique_.block(i + n).data();
        record_names_of(blocks, names.data());
        keep(names);
      }
    });
    measure("CRC-32", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) keep(vdo_crc32(unique_.block(i)));
    });
  }

  void compress() {
    AlignedMemory out(kBlockSize);
    Lz4Compressor compressor;
    measure("LZ4, nothing to gain", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) {
        keep(compressor.compress(unique_.block(i).data(), out.bytes()));
      }
    });
    measure("LZ4, to 45 %", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) {
        keep(compressor.compress(compressible_.block(i).data(), out.bytes()));
      }
    });
    AlignedMemory block(kBlockSize);
    const std::size_t size = compressor.compress(compressible_.block(7).data(), out.bytes());
    const std::array<ConstBytes, 2> fragments{out.bytes().first(size), out.bytes().first(size)};
    build_compressed_block(fragments, block.bytes());
    measure("reading a fragment", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) {
        const auto done = read_fragment(block.bytes(), i % 2, out.bytes());
        keep(done);
      }
    });
  }

  void move() {
    measure("zero test, not zero", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) keep(is_zero_block(unique_.block(i).data()));
    });
    measure("zero test, zeros", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) keep(is_zero_block(zeros_.block(i).data()));
    });
    measure("comparing equal blocks", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) {
        keep(std::memcmp(unique_.block(i).data(), copies_.block(i).data(), kBlockSize));
      }
    });
    measure("copying", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) {
        std::memcpy(copies_.block(i).data(), unique_.block(i).data(), kBlockSize);
        keep(copies_);
      }
    });
  }

  void metadata() {
    AlignedMemory block(kBlockSize);
    const JournalEntry entry{JournalOperation::data_remapping, Pbn{1000}, 7, mapped_to(Pbn{2000}),
                             kUnmapped};
    measure("recovery journal entry", kBlocks, [&] {
      for (std::size_t i = 0; i < kBlocks; ++i) {
        const auto index = static_cast<unsigned>(i % 217);
        if (index == 0) open_journal_block(block.bytes(), JournalBlockHeader{});
        append_journal_entry(block.bytes(), index, entry, 1, 0);
        keep(block);
      }
    });
    FlatMap<std::uint32_t> pages(32768);
    for (std::uint32_t i = 0; i < 32768; ++i) pages.insert(i, i % kBlocks);
    measure("finding a page of the map and an entry", kBlocks, [&] {
      std::uint64_t page = 1;
      for (std::size_t i = 0; i < kBlocks; ++i) {
        page = page * 6364136223846793005U + 1442695040888963407U;
        const std::uint32_t* frame = pages.find(page >> 49U);
        keep(uvdo::entry(unique_.block(*frame), static_cast<unsigned>(page >> 20U) % 812));
      }
    });
  }

  AlignedMemory unique_;
  AlignedMemory copies_;
  AlignedMemory compressible_;
  AlignedMemory zeros_;
  nlohmann::ordered_json results_;
};

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) {
  bool json = false;
  uvdo::Arguments app("Measures the parts of a block's way.", "primitives_bench");
  app.flag("--json", json, "print JSON");
  if (auto status = app.parse(argc, argv)) return *status;
  uvdo::Primitives primitives;
  primitives.run();
  if (json) {
    fmt::print("{}\n", primitives.results().dump(1));
    return 0;
  }
  for (const auto& [name, ns] : primitives.results().items()) {
    fmt::print("{:<42} {:>8.1f} ns\n", name, ns.get<double>());
  }
  return 0;
}
