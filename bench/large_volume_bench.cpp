// SPDX-License-Identifier: GPL-2.0-or-later
// Whether what a block costs grows with the volume: random overwrites of 4 KiB on a volume of 10 TB
// that is mapped and filled to nine tenths, and on small ones in the same state. The volumes are
// crafted and not written (crafted_volume.h). Their rounds take turns, and the least time counts.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "arguments/arguments.h"
#include "async/sim_random.h"
#include "async/uring_loop.h"
#include "async/work_thread.h"
#include "base/json.h"
#include "base/size_text.h"
#include "base/stopwatch.h"
#include "crafted_device.h"
#include "crafted_volume.h"
#include "device/open_device.h"
#include "volume/uds_index_factory.h"
#include "volume/volume.h"
#include "workload/block_pattern.h"

namespace uvdo {
namespace {

struct Options {
  std::string directory;
  std::string large = "10T";
  std::string middle = "100G";
  std::string small = "8G";
  unsigned mapped_percent = 90;
  unsigned used_percent = 90;
  unsigned references = 1;
  std::uint32_t cache_pages = 32768;
  std::uint64_t blocks = 250'000;
  unsigned rounds = 3;
  unsigned depth = 256;
  bool keep = false;
  bool json = false;
};

[[noreturn]] void fail(const std::string& what) {
  fmt::print(stderr, "large_volume_bench: {}\n", what);
  std::fflush(nullptr);
  _exit(1);
}
template <class T>
T value_of(Result<T> result) {
  if (!result) fail(result.error().message());
  return *std::move(result);
}
void demand(const Result<void>& done) {
  if (!done) fail(done.error().message());
}

std::uint64_t resident_bytes() {
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * kBlockSize;
}

/// A crafted volume in use.
struct Subject {
  Subject(std::string title, CraftedVolume content)
      : name(std::move(title)), crafted(std::move(content)) {}
  std::string name;
  CraftedVolume crafted;
  std::string file;
  std::unique_ptr<BackingStore> device;
  std::unique_ptr<Volume> volume;
  double craft_seconds = 0;
  double open_seconds = 0;
  double open_cpu = 0;
  std::uint64_t resident = 0;  ///< what the process grew by when the volume was opened
};

/// What is measured: overwrites of blocks in some of a volume's leaves, evenly spread over it.
struct Phase {
  std::string name;
  Subject* subject;
  std::uint64_t leaves;
  std::uint64_t blocks;
  bool warms_up;  ///< the leaves fit into the cache and are there when the clock runs
  // The least of all rounds, of a block:
  double seconds = 1e9;
  double user = 1e9;
  double system = 1e9;
  double map_reads = 0;
  double writes = 0;
  [[nodiscard]] double cpu() const { return user + system; }
};

class LargeVolumeBench {
 public:
  LargeVolumeBench(UringLoop& loop, const Options& options) : loop_(loop), options_(options) {}

  Task<void> run() {
    if (WorkThread::is_worthwhile()) {
      auto work = WorkThread::start(loop_);
      if (!work) fail(work.error().message());
      work_ = std::move(*work);
    }
    // The large one is held against a small and a middle one in the same state.
    Subject* const small = co_await make("small", options_.small, 15, options_.cache_pages);
    Subject* const middle = co_await make("middle", options_.middle, 19, options_.cache_pages);
    // So small a cache that it has few of the pages, but many more than there are writes in flight.
    Subject* const missing = co_await make("middle, small cache", options_.middle, 19,
                                           std::max(512U, options_.cache_pages / 8));
    Subject* const large = co_await make("large", options_.large, 19, options_.cache_pages);
    if (options_.blocks > 0) {
      const std::uint64_t blocks = options_.blocks;
      const std::uint64_t few = std::min(small->crafted.leaves(), fitting());
      const std::uint64_t many = std::min(middle->crafted.leaves(), fitting());
      phases_ = {{"few pages", small, few, blocks, true},
                 {"few pages", large, few, blocks, true},
                 {"a full cache", middle, many, blocks, true},
                 {"a full cache", large, many, blocks, true},
                 {"all pages", missing, missing->crafted.leaves(), blocks / kShareOfMisses, false},
                 {"all pages", large, large->crafted.leaves(), blocks / kShareOfMisses, false}};
      // All phases of a round before the next: what the machine does beside it meets all of them.
      for (const bool warms_up : {true, false}) {
        for (unsigned round = 0; round < options_.rounds; ++round) {
          for (Phase& phase : phases_) {
            if (phase.warms_up == warms_up) co_await measure(phase);
          }
        }
      }
    }
    print();
    if (options_.directory.empty()) {
      // What is in memory needs no saving: some gigabytes of counts have changed.
      std::fflush(nullptr);
      _exit(0);
    }
    for (const auto& subject : subjects_) demand(co_await subject->volume->stop());
    for (const auto& subject : subjects_) {
      subject->volume.reset();
      if (!options_.keep) unlink(subject->file.c_str());
    }
  }

 private:
  /// Leaves that the cache holds with room to spare.
  [[nodiscard]] std::uint64_t fitting() const {
    return std::uint64_t{options_.cache_pages} / 4 * 3;
  }

  Task<Subject*> make(std::string name, const std::string& logical, unsigned slab_bits,
                      std::uint32_t cache_pages) {
    CraftRequest request;
    request.logical_bytes = value_of(parse_size(logical));
    request.mapped_percent = options_.mapped_percent;
    request.used_percent = options_.used_percent;
    request.references = options_.references;
    request.slab_bits = slab_bits;
    request.nonce = subjects_.size() + 1;
    subjects_.push_back(
        std::make_unique<Subject>(std::move(name), value_of(CraftedVolume::make(request))));
    Subject& subject = *subjects_.back();
    const Stopwatch crafting;
    if (options_.directory.empty()) {
      subject.device =
          std::make_unique<CraftedDevice>(subject.crafted, memory_for(subject.crafted));
    } else {
      co_await write_file(subject);
    }
    subject.craft_seconds = crafting.seconds();

    const std::uint64_t before = resident_bytes();
    const Stopwatch opening;
    VolumeOptions options;
    options.block_map_cache_pages = cache_pages;
    if (work_) options.use(*work_);
    const auto say = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
    // The volume has been in use, its index has not.
    DedupeIndex* index = nullptr;
    const auto factory = [&index, make = uds_index_factory(say, options.work)](
                             Executor& executor, Device& device, const VolumeGeometry& geometry,
                             bool) {
      auto made = make(executor, device, geometry, true);
      index = made.get();
      return made;
    };
    subject.volume = value_of(co_await Volume::open(loop_, *subject.device, options, factory, say));
    if (subject.volume->is_read_only()) fail("the volume is read-only");
    subject.open_seconds = opening.seconds();
    subject.open_cpu = opening.processor();
    while (index != nullptr && index->state() == IndexState::opening) co_await loop_.yield();
    subject.resident = resident_bytes() - before;
    co_return &subject;
  }

  [[nodiscard]] CraftedMemory memory_for(const CraftedVolume& volume) const {
    // Each page that is not in the cache is written; a fifth more is for warming up.
    const std::uint64_t missed = options_.rounds * (options_.blocks / kShareOfMisses) * 6 / 5;
    const std::uint64_t pages = std::min(volume.leaves(), missed + fitting());
    return {pages + kJournals + kCounts, pages + kJournals, kData};
  }

  /// Makes a sparse file of what the volume holds.
  Task<void> write_file(Subject& subject) {
    subject.file = options_.directory + "/" + subject.name + ".vdo";
    const FileDescriptor file(
        ::open(subject.file.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (!file) fail(subject.file + " cannot be made, or is there already");
    if (ftruncate(file.get(), static_cast<off_t>(subject.crafted.device_bytes())) != 0) {
      fail("the file cannot be made so large");
    }
    subject.device = value_of(open_device(loop_, subject.file, OpenMode::read_write));
    const AlignedMemory memory(kAtOnce * kBlockSize);
    const std::uint64_t end = subject.crafted.device_bytes() / kBlockSize;
    std::uint64_t block = 0;
    while (true) {
      block = subject.crafted.skip_holes(Pbn{block}).value();
      if (block >= end) break;
      std::size_t count = 0;
      while (count < kAtOnce && block + count < end &&
             subject.crafted.read(Pbn{block + count}, memory.block(count))) {
        ++count;
      }
      if (count > 0) {
        demand(co_await subject.device->write(block * kBlockSize,
                                              memory.bytes().first(count * kBlockSize)));
      }
      block += std::max<std::size_t>(count, 1);
    }
    demand(co_await subject.device->flush());
  }

  Task<void> measure(Phase& phase) {
    Volume& volume = *phase.subject->volume;
    if (phase.warms_up) co_await load_leaves(phase);
    co_await overwrite(phase, phase.blocks / 5);
    const auto writes = [&] {
      const VolumeStatistics s = volume.statistics();
      return s.bios_out.write + s.bios_meta.write;
    };
    const std::uint64_t writes_before = writes();
    const std::uint64_t reads_before = volume.block_map().counters().read_count;
    const Stopwatch watch;
    co_await overwrite(phase, phase.blocks);
    const double seconds = watch.seconds();
    demand(co_await volume.flush());
    const auto blocks = static_cast<double>(phase.blocks);
    const double user = watch.user() / blocks;
    const double system = watch.system() / blocks;
    phase.seconds = std::min(phase.seconds, seconds / blocks);
    if (user + system < phase.cpu()) {
      phase.user = user;
      phase.system = system;
    }
    phase.map_reads =
        static_cast<double>(volume.block_map().counters().read_count - reads_before) / blocks;
    phase.writes = static_cast<double>(writes() - writes_before) / blocks;
  }

  static std::uint64_t leaf_of(const Phase& phase, std::uint64_t number) {
    return number * phase.subject->crafted.leaves() / phase.leaves;
  }

  /// Reads a block by way of each leaf, until none of them has left the cache for another.
  Task<void> load_leaves(const Phase& phase) {
    const AlignedMemory memory(kBlockSize);
    const BlockMap& map = phase.subject->volume->block_map();
    std::uint64_t reads = ~std::uint64_t{0};
    while (reads != map.counters().read_count) {
      reads = map.counters().read_count;
      for (std::uint64_t i = 0; i < phase.leaves; ++i) {
        const Lbn lbn = phase.subject->crafted.mapped_block(leaf_of(phase, i), 0);
        demand(co_await phase.subject->volume->read(lbn.value() * kBlockSize, memory.bytes()));
      }
    }
  }

  Task<void> overwrite(const Phase& phase, std::uint64_t blocks) {
    std::uint64_t left = blocks;
    TaskGroup clients(loop_);
    for (unsigned i = 0; i < options_.depth; ++i) clients.start(client(phase, left));
    co_await clients.wait();
  }

  Task<void> client(const Phase& phase, std::uint64_t& left) {
    Volume& volume = *phase.subject->volume;
    const CraftedVolume& crafted = phase.subject->crafted;
    while (left > 0) {
      --left;
      const std::uint64_t leaf = leaf_of(phase, random_.below(phase.leaves));
      const Lbn lbn = crafted.mapped_block(
          leaf, static_cast<unsigned>(random_.below(crafted.mapped_per_leaf())));
      Buffer buffer = volume.buffers().try_acquire(kBlockSize);
      if (buffer.data() == nullptr) buffer = co_await volume.buffers().acquire(kBlockSize);
      patterns_.fill(buffer.bytes(), Pattern::unique, next_id_++);
      demand(
          co_await volume.write(lbn.value() * kBlockSize, std::move(buffer), Durability::cached));
      co_await loop_.yield();
    }
  }

  /// How much dearer a block is in the second of two phases.
  [[nodiscard]] double ratio(std::size_t of, std::size_t to) const {
    return phases_[of].cpu() / phases_[to].cpu();
  }

  void print() const {
    if (options_.json) return print_json();
    fmt::print("{:<20} {:>10} {:>12} {:>14} {:>8} {:>8} {:>9} {:>9} {:>9}\n", "volume", "logical",
               "leaf pages", "mapped blocks", "slabs", "craft s", "open s", "CPU s", "memory MB");
    for (const auto& s : subjects_) {
      fmt::print("{:<20} {:>10} {:>12} {:>14} {:>8} {:>8.1f} {:>9.2f} {:>9.2f} {:>9.0f}\n", s->name,
                 size_text(s->volume->size()), s->crafted.leaves(), s->crafted.mapped_blocks(),
                 s->volume->depot().slab_count(), s->craft_seconds, s->open_seconds, s->open_cpu,
                 static_cast<double>(s->resident) / 1e6);
    }
    if (phases_.empty()) return;
    fmt::print("\n{:<14} {:<20} {:>11} {:>10} {:>8} {:>8} {:>8} {:>11} {:>11}\n", "overwrites of",
               "volume", "leaf pages", "blocks/s", "CPU us", "user us", "sys us", "map reads",
               "writes");
    for (const Phase& p : phases_) {
      fmt::print("{:<14} {:<20} {:>11} {:>10.0f} {:>8.2f} {:>8.2f} {:>8.2f} {:>11.3f} {:>11.3f}\n",
                 p.name, p.subject->name, p.leaves, 1 / p.seconds, p.cpu() * 1e6, p.user * 1e6,
                 p.system * 1e6, p.map_reads, p.writes);
    }
    fmt::print(
        "\nProcessor time of a block, large to small: {:.2f} with as many pages, {:.2f} with a "
        "full cache (to middle: {:.2f}); with misses, large to middle: {:.2f}\n",
        ratio(1, 0), ratio(3, 0), ratio(3, 2), ratio(5, 4));
  }

  void print_json() const {
    Json volumes = Json::array();
    for (const auto& s : subjects_) {
      volumes.push_back({{"volume", s->name},
                         {"logical_bytes", s->volume->size()},
                         {"leaf_pages", s->crafted.leaves()},
                         {"mapped_blocks", s->crafted.mapped_blocks()},
                         {"slabs", s->volume->depot().slab_count()},
                         {"open_seconds", s->open_seconds},
                         {"open_cpu_seconds", s->open_cpu},
                         {"resident_bytes", s->resident},
                         {"memory_needed_bytes", s->volume->memory_needed()}});
    }
    Json phases = Json::array();
    for (const Phase& p : phases_) {
      phases.push_back({{"overwrites_of", p.name},
                        {"volume", p.subject->name},
                        {"leaf_pages", p.leaves},
                        {"blocks", p.blocks},
                        {"blocks_per_second", 1 / p.seconds},
                        {"cpu_us_per_block", p.cpu() * 1e6},
                        {"user_us_per_block", p.user * 1e6},
                        {"system_us_per_block", p.system * 1e6},
                        {"map_pages_read_per_block", p.map_reads},
                        {"device_blocks_written_per_block", p.writes}});
    }
    Json out = {{"volumes", volumes}, {"phases", phases}};
    if (!phases_.empty()) {
      out["ratios"] = {{"few_pages", ratio(1, 0)},
                       {"full_cache_to_small", ratio(3, 0)},
                       {"full_cache_to_middle", ratio(3, 2)},
                       {"all_pages_to_middle", ratio(5, 4)}};
    }
    fmt::print("{}\n", json_text(out, 1));
  }

  static constexpr std::uint64_t kShareOfMisses = 5;   // they take longer: fewer blocks
  static constexpr std::size_t kAtOnce = 256;          // blocks of a request
  static constexpr std::size_t kJournals = 1U << 15U;  // blocks, and those of the index
  static constexpr std::size_t kCounts = 1U << 20U;    // blocks; hardly any is written
  static constexpr std::size_t kData = 1U << 16U;      // blocks

  UringLoop& loop_;
  Options options_;
  std::unique_ptr<WorkThread> work_;
  std::vector<std::unique_ptr<Subject>> subjects_;
  std::vector<Phase> phases_;
  BlockPatterns patterns_;
  SimRandom random_{7};
  std::uint64_t next_id_ = 1;
};

int parse_and_run(int argc, char** argv) {
  Options options;
  Arguments app("Measures random overwrites on a large volume and on small ones.",
                "large_volume_bench");
  app.option("--directory", options.directory,
             "make the volumes as sparse files there; in memory if left out");
  app.flag("--keep", options.keep, "leave the files there");
  app.option("--logical", options.large, "logical size of the large volume").show_default();
  app.option("--middle", options.middle, "of one whose map is larger than the cache")
      .show_default();
  app.option("--small", options.small, "of the small one").show_default();
  app.option("--mapped-percent", options.mapped_percent, "of the logical blocks").show_default();
  app.option("--used-percent", options.used_percent, "of the data blocks").show_default();
  app.option("--references", options.references, "logical blocks that share a data block")
      .show_default();
  app.option("--cache-pages", options.cache_pages, "block map cache, in pages of 4 KiB")
      .show_default();
  app.option("--blocks", options.blocks, "overwritten in each round; 0: only makes the volumes")
      .show_default();
  app.option("--rounds", options.rounds, "the least time of so many counts").show_default();
  app.option("--depth", options.depth, "writes in flight").range(1, 4096).show_default();
  app.flag("--json", options.json, "figures as JSON");
  if (auto status = app.parse(argc, argv)) return *status;
  auto loop = UringLoop::create();
  if (!loop) fail(loop.error().message());
  LargeVolumeBench bench(**loop, options);
  (*loop)->run(bench.run());
  return 0;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::parse_and_run(argc, argv); }
