// SPDX-License-Identifier: GPL-2.0-or-later
// What the deduplication index costs: posts of new names, posts of known names in their first
// order, lookups of random known and of unknown names, on an empty, a partly filled and a full
// index; memory, save and load. Processor time is that of the whole process.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "arguments/arguments.h"
#include "async/uring_loop.h"
#include "base/block_types.h"
#include "base/stopwatch.h"
#include "device/memory_device.h"
#include "device/open_device.h"
#include "index/testing/numbered_names.h"
#include "volume/remote_index.h"

namespace uvdo {
namespace {

using test::numbered_name;

struct Options {
  std::string file;
  std::string memory = "0.25";
  bool sparse = false;
  bool full = false;
  bool thread = false;
  bool existing = false;
  std::uint32_t rebuilds = 0;
  bool json = false;
  std::uint64_t slice = 1000000;
  std::uint64_t random_slice = 100000;
  std::uint64_t partly = 8000000;
  std::uint64_t full_names = 68000000;
  std::size_t batch = 64;
  std::size_t clients = 8;  // batches under way, with a thread
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A figure of the process's memory in MB.
double memory_mb(std::string_view figure) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(figure)) return std::stod(line.substr(figure.size())) * 1024 / 1e6;
  }
  return 0;
}
/// Anonymous memory in MB; of a memory device, its content is part of it.
double anonymous_mb() { return memory_mb("RssAnon:"); }

/// The measurements, one after the other on the same index: names are numbers that go on from one
/// to the next (next_), so that each knows which names are there.
class Bench {
 public:
  Bench(UringLoop& loop, Device& device, WorkThread* work, Options options)
      : loop_(loop), device_(device), options_(std::move(options)), work_(work) {}

  Task<void> run() {
    if (options_.existing) {
      co_await load_often();
    } else {
      co_await run_all();
    }
    if (options_.json) fmt::print("{}\n", results_.dump(1));
  }

 private:
  Task<void> run_all() {
    co_await start(true);
    co_await measure("empty");
    co_await fill(options_.partly);
    co_await measure("partly");
    co_await lone("partly");
    co_await save_and_load("partly");
    if (options_.full) {
      co_await fill(options_.full_names);
      co_await measure("full");
      co_await lone("full");
      co_await save_and_load("full");
      co_await crash_and_rebuild();
      co_await window();
    }
    co_await save();
  }
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
    report_once(what, wall, cpu, anonymous_mb());
  }
  void report_once(const std::string& what, double wall, double cpu, double mb) {
    if (!options_.json) {
      fmt::print("{:<44} {:>9.3f} s {:>12.3f} s cpu, {:.0f} MB\n", what, wall, cpu, mb);
      std::fflush(stdout);
    }
    results_.push_back(
        {{"what", what}, {"seconds", wall}, {"cpu_seconds", cpu}, {"anonymous_mb", mb}});
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
    const LogFunction log = [](const LogLine& line) { fmt::print(stderr, "{}\n", line.text); };
    if (options_.thread) {
      auto started = RemoteIndex::start(*work_, loop_, device_, parameters, log);
      check(started.ok(), "the index does not start");
      index_ = std::move(*started);
    } else {
      auto started = UdsIndex::start(loop_, device_, parameters, log);
      check(started.ok(), "the index does not start");
      here_ = started->get();
      index_ = std::move(*started);
    }
    while (index_->state() == IndexState::opening) co_await loop_.yield();
    check(index_->state() == IndexState::online, "the index is not online");
  }
  Task<void> save() {
    const auto saved = co_await index_->save();
    check(saved.ok(), "the save failed");
    here_ = nullptr;
    index_.reset();
  }

  struct Count {
    std::uint64_t left = 0;
    std::uint64_t found = 0;
  };
  /// Looks up names in batches until none is left, and records those that are not found if `store`.
  template <class Number>
  Task<void> ask_some(Count& count, bool store, Number& number) {
    std::vector<IndexQuery> queries(options_.batch);
    std::vector<IndexNote> notes;
    while (count.left > 0) {
      count.left -= std::min<std::uint64_t>(count.left, queries.size());
      for (IndexQuery& query : queries) query.name = numbered_name(number());
      co_await index_->lookup(queries);
      notes.clear();
      for (const IndexQuery& query : queries) {
        count.found += query.found ? 1 : 0;
        if (store && !query.found) notes.push_back({&query, IndexData{}});
      }
      index_->record_all(notes);
      co_await loop_.yield();
    }
  }
  template <class Number>
  Task<std::uint64_t> ask(std::uint64_t names, bool store, Number number) {
    Count count{names};
    TaskGroup clients(loop_);
    for (std::size_t i = 0; i < (options_.thread ? options_.clients : 1); ++i) {
      clients.start(ask_some(count, store, number));
    }
    co_await clients.wait();
    co_return count.found;
  }

  template <class Number>
  Task<void> time(std::string what, std::uint64_t count, bool store, Number number) {
    const Stopwatch watch;
    const std::uint64_t found = co_await ask(count, store, number);
    if (store && here_ != nullptr) co_await here_->wait_written();
    const std::string note = fmt::format(
        "({:.1f} % found)", 100.0 * static_cast<double>(found) / static_cast<double>(count));
    report(what, static_cast<double>(count), watch.seconds(), watch.processor(), note.c_str());
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

  /// One name after the other, of which the pages are in memory.
  Task<void> lone(std::string state) {
    constexpr std::uint64_t kLone = 100000;
    constexpr std::uint64_t kPages = 100;
    std::vector<double> times;
    const Stopwatch watch;
    for (std::uint64_t i = 0; i < kLone; ++i) {
      IndexQuery query;
      query.name = numbered_name(next_ - 1000000 - i * 7 % kPages);
      const double before = seconds_now();
      co_await index_->lookup({&query, 1});
      times.push_back(seconds_now() - before);
      check(query.found || i < kPages, "a name is lost");
    }
    std::sort(times.begin(), times.end());
    const std::string note = fmt::format("(median {:.2f}, 99 % within {:.2f} us)",
                                         times[kLone / 2] * 1e6, times[kLone * 99 / 100] * 1e6);
    double sum = 0;
    for (const double one : times) sum += one;
    report(state + ": one at a time, page in memory", kLone, sum, watch.processor(), note.c_str());
  }

  Task<void> save_and_load(std::string state) {
    report_once("peak memory", 0, 0, memory_mb("VmHWM:"));
    const Stopwatch saving;
    co_await save();
    report_once(state + ": save", saving.seconds(), saving.processor());
    const Stopwatch loading;
    co_await start(false);
    report_once(state + ": load", loading.seconds(), loading.processor());
  }

  /// Loads and saves what is there.
  Task<void> load_often() {
    for (std::uint32_t i = 0; i < options_.rebuilds; ++i) {
      co_await rebuild("rebuild from all chapters");
      report_once("peak memory", 0, 0, memory_mb("VmHWM:"));
      co_await save();
    }
    for (int i = 0; i < 5; ++i) {
      const Stopwatch loading;
      co_await start(false);
      report_once("load", loading.seconds(), loading.processor());
      if (i == 0) report_once("peak memory", 0, 0, memory_mb("VmHWM:"));
      co_await ask(1000, true, [this] { return (std::uint64_t{1} << 50U) + unknown_++; });
      const Stopwatch saving;
      co_await save();
      report_once("save", saving.seconds(), saving.processor());
    }
  }

  Task<void> crash_and_rebuild() {
    if (here_ == nullptr) co_return;  // a thread always saves
    co_await fill(next_ + 1000000);
    co_await here_->close();
    index_.reset();
    const Stopwatch watch;
    co_await start(false);
    report_once("full: rebuild from the last save", watch.seconds(), watch.processor());
    co_await here_->close();
    index_.reset();
    co_await rebuild("full: rebuild from all chapters");
  }

  /// As after a crash before the first save.
  Task<void> rebuild(std::string what) {
    const IndexGeometry g = geometry();
    const PageMemory zeros(kBlockSize);
    for (std::uint64_t slot = 0; slot < 2; ++slot) {
      const std::uint64_t block = 3 + g.volume_blocks + slot * g.save_blocks;
      const auto wiped = co_await device_.write(block * kBlockSize, zeros.bytes());
      check(wiped.ok(), "the save is not wiped");
    }
    const Stopwatch watch;
    co_await start(false);
    report_once(what, watch.seconds(), watch.processor());
  }

  /// How many of the newest names are still known: each 1021st of them is looked up.
  Task<void> window() {
    const IndexGeometry g = geometry();
    if (g.sparse) {
      // In the order in which they were written, names that only sparse chapters have: the newest
      // of them, and the oldest that are to be known.
      const std::uint64_t dense = g.dense_chapters * g.records_per_chapter;
      check(next_ > dense + 2 * options_.slice, "more names are needed: --full-names");
      std::uint64_t number = next_ - (dense + 2 * options_.slice);
      co_await time("window: newest sparse names in order", options_.slice, true,
                    [&number] { return number++; });
      // What was just found again went to the open chapter, which cost as many old ones.
      const std::uint64_t known = g.chapters * g.records_per_chapter * 97 / 100;
      number = next_ - std::min(next_, known);
      co_await time("window: oldest sparse names in order", options_.slice, true,
                    [&number] { return number++; });
      co_return;
    }
    const std::uint64_t capacity = g.chapters * g.records_per_chapter;
    std::uint64_t number = next_ - capacity;
    const std::uint64_t samples = capacity / 1021;
    co_await time("window: each 1021st of the newest names", samples, false,
                  [&number] { return number += 1021; });
  }
  [[nodiscard]] IndexGeometry geometry() const {
    return *compute_index_geometry(*parse_index_memory(options_.memory), options_.sparse);
  }

  UringLoop& loop_;
  Device& device_;
  Options options_;
  WorkThread* work_;
  std::unique_ptr<DedupeIndex> index_;
  UdsIndex* here_ = nullptr;  // the index, if it is in this thread
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
  std::unique_ptr<BackingStore> device;
  if (options.file.empty()) {
    auto made = MemoryDevice::create(size);
    check(made.ok(), "there is no memory for the device");
    device = std::move(*made);
  } else {
    auto opened = open_device(**loop, options.file, OpenMode::read_write);
    if (!opened || (*opened)->size() < size) {
      fmt::print(stderr, "{}: a file or device of at least {} bytes is needed (truncate -s)\n",
                 options.file, size);
      return 2;
    }
    device = std::move(*opened);
  }
  std::unique_ptr<WorkThread> work;
  if (options.thread) {
    auto started = WorkThread::start(**loop);
    check(started.ok(), "no thread");
    work = std::move(*started);
  }
  Bench bench(**loop, *device, work.get(), options);
  (*loop)->run(bench.run());
  return 0;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) {
  uvdo::Options options;
  uvdo::Arguments app("Measures the deduplication index", "index_bench");
  app.option("--file", options.file,
             "keep the index on this file or device (its content is lost); default: memory");
  app.option("--memory", options.memory, "size of the index: 0.25, 0.5, 0.75, 1 ...");
  app.flag("--sparse", options.sparse, "a sparse index");
  app.flag("--full", options.full, "also fill the index, which takes about a minute");
  app.flag("--thread", options.thread, "the index in a second thread, as a volume has it");
  app.option("--clients", options.clients, "batches under way at once, with --thread");
  app.flag("--existing", options.existing,
           "only load and save the index that an earlier run has left on --file, five times");
  app.option("--rebuilds", options.rebuilds,
             "with --existing: so often, first, rebuild it from its chapters");
  app.flag("--json", options.json, "print JSON");
  app.option("--names", options.slice, "names of each measurement");
  app.option("--partly", options.partly, "names in the partly filled index");
  app.option("--full-names", options.full_names, "names that fill the index");
  app.option("--batch", options.batch, "lookups that are asked together");
  if (auto status = app.parse(argc, argv)) return *status;
  return uvdo::run_bench(options);
}
