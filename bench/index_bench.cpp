// SPDX-License-Identifier: GPL-2.0-or-later
// What the deduplication index costs: posts of new names, posts of known names in their first
// order, lookups of random known and of unknown names, on an empty, a partly filled and a full
// index; memory, save and load. Processor time is that of the whole process.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "async/uring_loop.h"
#include "base/block_types.h"
#include "device/file_device.h"
#include "device/memory_device.h"
#include "index/uds_index.h"

namespace uvdo {
namespace {

struct Options {
  std::string file;
  std::string memory = "0.25";
  bool sparse = false;
  bool full = false;
  bool json = false;
  std::uint64_t slice = 1000000;
  std::uint64_t random_slice = 100000;
  std::uint64_t partly = 8000000;
  std::uint64_t full_names = 68000000;
  std::size_t batch = 64;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Anonymous memory in MB; of a memory device, its content is part of it.
double anonymous_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) * 1024 / 1e6;
  }
  return 0;
}

RecordName name_of(std::uint64_t number) {
  RecordName name;
  std::uint64_t x = number + 1;
  for (std::byte* p = name.bytes.data(); p < name.bytes.data() + 16; p += 8) {
    x = (x ^ x >> 31U) * 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 29U) * 0xBF58476D1CE4E5B9U;
    x ^= x >> 32U;
    store_be64(p, x);
  }
  return name;
}

class Bench {
 public:
  Bench(UringLoop& loop, Device& device, Options options)
      : loop_(loop), device_(device), options_(std::move(options)) {}

  Task<void> run() {
    co_await start(true);
    co_await measure("empty");
    co_await fill(options_.partly);
    co_await measure("partly");
    co_await save_and_load("partly");
    if (options_.full) {
      co_await fill(options_.full_names);
      co_await measure("full");
      co_await save_and_load("full");
      co_await crash_and_rebuild();
      co_await window();
    }
    co_await index_->close();
    index_.reset();
    if (options_.json) fmt::print("{}\n", results_.dump(1));
  }

 private:
  void report(const std::string& what, double ops, double wall, double cpu, const char* note = "") {
    if (!options_.json) {
      fmt::print("{:<44} {:>12.0f}/s {:>9.3f} us cpu {}\n", what, ops / wall, cpu / ops * 1e6,
                 note);
      std::fflush(stdout);
    }
    results_.push_back({{"what", what},
                        {"ops", ops},
                        {"ops_per_s", ops / wall},
                        {"cpu_us_per_op", cpu / ops * 1e6},
                        {"anonymous_mb", anonymous_mb()}});
  }
  void report_once(const std::string& what, double wall, double cpu) {
    if (!options_.json) {
      fmt::print("{:<44} {:>9.3f} s {:>12.3f} s cpu, {:.0f} MB\n", what, wall, cpu, anonymous_mb());
      std::fflush(stdout);
    }
    results_.push_back({{"what", what},
                        {"seconds", wall},
                        {"cpu_seconds", cpu},
                        {"anonymous_mb", anonymous_mb()}});
  }

  Task<void> start(bool create) {
    UdsParameters parameters;
    parameters.memory = *parse_index_memory(options_.memory);
    parameters.sparse = options_.sparse;
    parameters.region_start = 1;
    parameters.region_blocks =
        compute_index_geometry(parameters.memory, options_.sparse)->region_blocks;
    parameters.nonce = 1;
    parameters.create = create;
    auto started = UdsIndex::start(loop_, device_, parameters,
                                   [](std::string_view line) { fmt::print(stderr, "{}\n", line); });
    check(started.ok(), "the index does not start");
    index_ = std::move(*started);
    co_await index_->wait_opened();
    check(index_->state() == IndexState::online, "the index is not online");
  }

  /// Looks up `count` names in batches, and records those that are not found if `store`.
  template <class Number>
  Task<std::uint64_t> ask(std::uint64_t count, bool store, Number number) {
    std::vector<IndexQuery> queries(options_.batch);
    std::vector<IndexNote> notes;
    std::uint64_t found = 0;
    for (std::uint64_t done = 0; done < count; done += options_.batch) {
      for (IndexQuery& query : queries) query.name = name_of(number());
      co_await index_->lookup(queries);
      notes.clear();
      for (const IndexQuery& query : queries) {
        found += query.found ? 1 : 0;
        if (store && !query.found) notes.push_back({&query, IndexData{}});
      }
      index_->record_all(notes);
      co_await loop_.yield();
    }
    co_return found;
  }

  template <class Number>
  Task<void> time(std::string what, std::uint64_t count, bool store, Number number) {
    const double wall = seconds_now();
    const double cpu = cpu_now();
    const std::uint64_t found = co_await ask(count, store, number);
    if (store) co_await index_->wait_written();
    const std::string note = fmt::format(
        "({:.1f} % found)", 100.0 * static_cast<double>(found) / static_cast<double>(count));
    report(what, static_cast<double>(count), seconds_now() - wall, cpu_now() - cpu, note.c_str());
  }

  Task<void> fill(std::uint64_t names) {
    const std::uint64_t count = names > next_ ? names - next_ : 0;
    co_await time(fmt::format("fill to {} names", names), count, true, [this] { return next_++; });
    report_once("memory", 0, 0);
  }

  Task<void> measure(std::string state) {
    co_await time(state + ": post of new names", options_.slice, true, [this] { return next_++; });
    // Names of the younger half, so that the window does not move under the measurement.
    std::uint64_t old = next_ > 20000000 ? next_ - 20000000 : 0;
    co_await time(state + ": post of known names in order", options_.slice, true,
                  [&old] { return old++; });
    std::mt19937_64 random(7);
    const std::uint64_t span = std::min<std::uint64_t>(next_, 60000000);
    co_await time(state + ": lookup of random known names", options_.random_slice, false,
                  [this, &random, span] { return next_ - 1 - random() % span; });
    co_await time(state + ": lookup of unknown names", options_.slice, false,
                  [this] { return (std::uint64_t{1} << 40U) + unknown_++; });
  }

  Task<void> save_and_load(std::string state) {
    double wall = seconds_now();
    double cpu = cpu_now();
    const auto saved = co_await index_->save();
    check(saved.ok(), "the save failed");
    report_once(state + ": save", seconds_now() - wall, cpu_now() - cpu);
    index_.reset();
    wall = seconds_now();
    cpu = cpu_now();
    co_await start(false);
    report_once(state + ": load", seconds_now() - wall, cpu_now() - cpu);
  }

  Task<void> crash_and_rebuild() {
    co_await fill(next_ + 1000000);
    co_await index_->close();
    index_.reset();
    double wall = seconds_now();
    double cpu = cpu_now();
    co_await start(false);
    report_once("full: rebuild from the last save", seconds_now() - wall, cpu_now() - cpu);
    co_await index_->close();
    index_.reset();
    // Without a save: both areas are wiped.
    const IndexGeometry g =
        *compute_index_geometry(*parse_index_memory(options_.memory), options_.sparse);
    const PageMemory zeros(kBlockSize);
    for (std::uint64_t slot = 0; slot < 2; ++slot) {
      const std::uint64_t block = 3 + g.volume_blocks + slot * g.save_blocks;
      const auto wiped = co_await device_.write(block * kBlockSize, zeros.bytes());
      check(wiped.ok(), "the save is not wiped");
    }
    wall = seconds_now();
    cpu = cpu_now();
    co_await start(false);
    report_once("full: rebuild from all chapters", seconds_now() - wall, cpu_now() - cpu);
  }

  /// How many of the newest names are still known: each 1021st of them is looked up.
  Task<void> window() {
    const IndexGeometry& g = index_->geometry();
    const std::uint64_t capacity = g.chapters * g.records_per_chapter;
    std::uint64_t number = next_ - capacity;
    const std::uint64_t samples = capacity / 1021;
    co_await time("window: each 1021st of the newest names", samples, false,
                  [&number] { return number += 1021; });
  }

  UringLoop& loop_;
  Device& device_;
  Options options_;
  std::unique_ptr<UdsIndex> index_;
  std::uint64_t next_ = 0;
  std::uint64_t unknown_ = 0;
  nlohmann::json results_ = nlohmann::json::array();
};

int run_bench(const Options& options) {
  const auto memory = parse_index_memory(options.memory);
  const auto geometry = memory ? compute_index_geometry(*memory, options.sparse)
                               : Result<IndexGeometry>(memory.error().clone());
  if (!geometry) {
    fmt::print(stderr, "{}\n", geometry.error().message());
    return 2;
  }
  auto loop = UringLoop::create();
  if (!loop) {
    fmt::print(stderr, "{}\n", loop.error().message());
    return 1;
  }
  const std::uint64_t size = (geometry->region_blocks + 1) * kBlockSize;
  std::unique_ptr<Device> device;
  if (options.file.empty()) {
    auto made = MemoryDevice::create(size);
    check(made.ok(), "there is no memory for the device");
    device = std::move(*made);
  } else {
    auto opened = FileDevice::open(**loop, options.file, OpenMode::read_write);
    if (!opened || (*opened)->size() < size) {
      fmt::print(stderr, "{}: a file or device of at least {} bytes is needed (truncate -s)\n",
                 options.file, size);
      return 2;
    }
    device = std::move(*opened);
  }
  Bench bench(**loop, *device, options);
  (*loop)->run(bench.run());
  return 0;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) {
  uvdo::Options options;
  CLI::App app("Measures the deduplication index");
  app.add_option("--file", options.file,
                 "keep the index on this file or device (its content is lost); default: memory");
  app.add_option("--memory", options.memory, "size of the index: 0.25, 0.5, 0.75, 1 ...");
  app.add_flag("--sparse", options.sparse, "a sparse index");
  app.add_flag("--full", options.full, "also fill the index, which takes about a minute");
  app.add_flag("--json", options.json, "print JSON");
  app.add_option("--names", options.slice, "names of each measurement");
  app.add_option("--partly", options.partly, "names in the partly filled index");
  app.add_option("--full-names", options.full_names, "names that fill the index");
  app.add_option("--batch", options.batch, "lookups that are asked together");
  CLI11_PARSE(app, argc, argv);
  return uvdo::run_bench(options);
}
