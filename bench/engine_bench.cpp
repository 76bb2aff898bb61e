// SPDX-License-Identifier: GPL-2.0-or-later
// The engine in process on a memory device: the phases unique, dup, overwrite, read and compress of
// docs/performance.md, with a number of 4 KiB requests in flight. Prints blocks per second and the
// processor time of a block; --json for machines.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/resource.h>

#include "async/uring_loop.h"
#include "device/memory_device.h"
#include "volume/format_volume.h"
#include "volume/uds_index_factory.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

struct Settings {
  std::uint64_t operations = 250'000;
  std::uint64_t warm_up = 50'000;
  unsigned depth = 256;
  bool json = false;
  bool deduplication = true;
  std::vector<std::string> phases{"unique", "dup", "overwrite", "read", "compress", "latency"};
};

struct Figures {
  std::string phase;
  double blocks_per_second = 0;
  double cpu_us = 0;
  double device_blocks = 0;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// 4096 bytes that only `id` decides; cheap to make, not compressible.
void fill_unique(std::byte* block, std::uint64_t id, const std::vector<std::byte>& noise) {
  std::memcpy(block, noise.data() + (id * 64) % (noise.size() - kBlockSize), kBlockSize);
  std::memcpy(block, &id, sizeof id);
}

/// The same, of which LZ4 makes less than half: zeros and noise in turn, 512 bytes each.
void fill_compressible(std::byte* block, std::uint64_t id, const std::vector<std::byte>& noise) {
  fill_unique(block, id, noise);
  for (std::size_t i = 512; i < kBlockSize; i += 1024) std::memset(block + i, 0, 512);
  std::memset(block + 3072, 0, 512);
}

class Bench {
 public:
  Bench(UringLoop& loop, Settings settings) : loop_(loop), settings_(std::move(settings)) {
    std::mt19937_64 random(1);
    noise_.resize(1U << 20U);
    for (std::size_t i = 0; i < noise_.size(); i += 8) {
      const std::uint64_t word = random();
      std::memcpy(noise_.data() + i, &word, 8);
    }
  }

  Task<void> run() {
    for (const std::string& phase : settings_.phases) co_await run_phase(phase);
    report();
  }

 private:
  static constexpr std::uint64_t kVolumeBytes = 12ULL << 30U;
  static constexpr std::uint64_t kPresentBytes = 5ULL << 29U;
  static constexpr std::uint64_t kSetBlocks = (1ULL << 30U) / kBlockSize;

  Task<void> open(bool compression) {
    device_ = std::move(*MemoryDevice::create(kVolumeBytes));
    FormatRequest request;
    request.device_bytes = kVolumeBytes;
    request.slab_bits = 15;
    request.logical_bytes = 8ULL << 30U;
    request.nonce = 4711;
    auto layout = make_volume_layout(request);
    if (!layout) {
      fmt::print(stderr, "{}\n", layout.error().message());
      std::exit(1);
    }
    // Memory that the run will touch is made present first: page faults are not the engine's cost.
    const MutableBytes slabs = device_->bytes().subspan(
        layout->geometry.device_byte(layout->super_block.depot.first_block), kPresentBytes);
    madvise(slabs.data(), slabs.size(), MADV_POPULATE_WRITE);
    auto formatted = co_await format_volume(*device_, *layout);
    VolumeOptions options;
    options.compression = compression;
    options.deduplication = settings_.deduplication;
    const auto log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
    auto opened = co_await Volume::open(loop_, *device_, options, uds_index_factory(log), log);
    if (!formatted || !opened) {
      fmt::print(stderr, "the volume cannot be made\n");
      std::exit(1);
    }
    volume_ = std::move(*opened);
    while (volume_->index()->state() == IndexState::opening) co_await loop_.yield();
  }

  Task<void> close() {
    auto stopped = co_await volume_->stop();
    if (!stopped) {
      fmt::print(stderr, "{}\n", stopped.error().message());
      std::exit(1);
    }
    volume_.reset();
    device_.reset();
  }

  /// `count` requests, `depth` at a time; operation(i) does the i-th.
  template <class Operation>
  Task<void> many(std::uint64_t count, Operation operation) {
    TaskGroup clients(loop_);
    std::uint64_t next = 0;
    for (unsigned c = 0; c < settings_.depth; ++c) {
      clients.start([](Bench& bench, std::uint64_t& following, std::uint64_t limit,
                       Operation& op) -> Task<void> {
        while (following < limit) {
          const std::uint64_t i = following++;
          co_await op(i);
          // A client that is answered at once lets the others have their turn.
          co_await bench.loop_.yield();
        }
      }(*this, next, count, operation));
    }
    co_await clients.wait();
  }

  Task<void> write_block(std::uint64_t lbn, std::uint64_t id, bool compressible) {
    Buffer buffer = volume_->buffers().try_acquire(kBlockSize);
    if (buffer.data() == nullptr) buffer = co_await volume_->buffers().acquire(kBlockSize);
    (compressible ? fill_compressible : fill_unique)(buffer.data(), id, noise_);
    auto done = co_await volume_->write(lbn * kBlockSize, std::move(buffer), Durability::cached);
    if (!done) {
      fmt::print(stderr, "{}\n", done.error().message());
      std::exit(1);
    }
  }

  Task<void> run_phase(const std::string& phase) {
    const bool compress = phase == "compress";
    co_await open(compress);
    std::mt19937_64 random(7);
    const std::uint64_t warm = settings_.warm_up;
    if (phase == "dup" || phase == "overwrite" || phase == "read") {
      co_await many(kSetBlocks, [&](std::uint64_t i) { return write_block(i, i, false); });
      auto flushed = co_await volume_->flush();
      static_cast<void>(flushed);
    }
    std::uint64_t count = settings_.operations;
    if (phase == "read") count = count * 12 / 5;
    if (phase == "latency") count /= 10;
    std::vector<std::byte> memory((settings_.depth + 1) * kBlockSize + kBlockSize);
    auto* aligned = reinterpret_cast<std::byte*>(
        (reinterpret_cast<std::uintptr_t>(memory.data()) + kBlockSize - 1) / kBlockSize *
        kBlockSize);
    const auto operation = [&](std::uint64_t i) -> Task<void> {
      const std::uint64_t unique = (1ULL << 40U) + i;
      if (phase == "dup")
        return write_block(kSetBlocks + i % kSetBlocks, random() % kSetBlocks, false);
      if (phase == "overwrite") return write_block(random() % kSetBlocks, unique, false);
      if (phase == "read")
        return read_block(random() % kSetBlocks, aligned + i % settings_.depth * kBlockSize);
      return write_block(i, unique, compress);
    };
    if (phase != "latency") co_await many(warm, operation);
    const auto before = volume_->statistics();
    const double start = now_seconds();
    const double cpu = cpu_seconds();
    double acknowledged = 0;
    if (phase == "latency") {
      for (std::uint64_t i = 0; i < count; ++i) {
        const double begin = now_seconds();
        co_await write_block(i, (1ULL << 41U) + i, false);
        acknowledged += now_seconds() - begin;
        co_await loop_.yield();
      }
    } else {
      co_await many(count, [&](std::uint64_t i) { return operation(warm + i); });
      acknowledged = now_seconds() - start;
    }
    auto flushed = co_await volume_->flush();
    static_cast<void>(flushed);
    const double total_cpu = cpu_seconds() - cpu;
    const auto after = volume_->statistics();
    const auto written = [](const VolumeStatistics& s) {
      return static_cast<double>(s.bios_out.write + s.bios_meta.write);
    };
    const auto n = static_cast<double>(count);
    figures_.push_back(
        {phase, n / acknowledged, total_cpu / n * 1e6, (written(after) - written(before)) / n});
    co_await close();
  }

  Task<void> read_block(std::uint64_t lbn, std::byte* to) {
    auto done = co_await volume_->read(lbn * kBlockSize, {to, kBlockSize});
    if (!done) {
      fmt::print(stderr, "{}\n", done.error().message());
      std::exit(1);
    }
  }

  void report() const {
    if (settings_.json) {
      auto list = nlohmann::json::array();
      for (const Figures& f : figures_) {
        list.push_back({{"phase", f.phase},
                        {"blocks_per_second", f.blocks_per_second},
                        {"cpu_us_per_block", f.cpu_us},
                        {"device_blocks_per_block", f.device_blocks}});
      }
      fmt::print("{}\n", list.dump(2));
      return;
    }
    fmt::print("{:<10} {:>12} {:>10} {:>14}\n", "phase", "blocks/s", "CPU us", "device writes");
    for (const Figures& f : figures_) {
      fmt::print("{:<10} {:>12.0f} {:>10.2f} {:>14.3f}\n", f.phase, f.blocks_per_second, f.cpu_us,
                 f.device_blocks);
    }
  }

  UringLoop& loop_;
  Settings settings_;
  std::vector<std::byte> noise_;
  std::unique_ptr<MemoryDevice> device_;
  std::unique_ptr<Volume> volume_;
  std::vector<Figures> figures_;
};

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) {
  uvdo::Settings settings;
  CLI::App app("Measures the engine on a memory device.", "engine_bench");
  app.add_option("--operations", settings.operations, "4 KiB requests in a phase");
  app.add_option("--depth", settings.depth, "requests in flight");
  app.add_option("--phases", settings.phases, "what to run")->delimiter(',');
  app.add_flag("--json", settings.json, "print JSON");
  app.add_flag("!--no-dedupe", settings.deduplication, "deduplication off");
  CLI11_PARSE(app, argc, argv);
  auto loop = uvdo::UringLoop::create();
  if (!loop) {
    fmt::print(stderr, "{}\n", loop.error().message());
    return 1;
  }
  uvdo::Bench bench(**loop, settings);
  (*loop)->run(bench.run());
  return 0;
}
