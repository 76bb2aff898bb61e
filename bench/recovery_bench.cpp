// SPDX-License-Identifier: GPL-2.0-or-later
// What a recovery costs at worst: a recovery journal that is full to its last block, with changes
// all over a large logical device. A child process makes the volume: it holds back all writes of
// block map pages, so that the journal cannot be emptied, writes until nothing goes on any more,
// and ends like a machine without power. Then the volume is opened.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include <fcntl.h>
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments/arguments.h"
#include "async/sim_random.h"
#include "async/uring_loop.h"
#include "base/size_text.h"
#include "base/stopwatch.h"
#include "device/open_device.h"
#include "device/private_store.h"
#include "format/block_map_page.h"
#include "index/bounded_memory_index.h"
#include "volume/format_volume.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

struct Options {
  std::string file;
  std::string logical = "1T";
  std::string physical = "12G";
  std::uint32_t cache_pages = 32768;
  bool json = false;
};

constexpr std::uint64_t kNonce = 0x5EED;

/// The most memory that this process has ever had, in bytes.
std::uint64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Passes everything on but the writes of block map pages, which never end.
class HoldingDevice final : public PrivateStore {
 public:
  explicit HoldingDevice(BackingStore& device) : device_(device) {}
  void submit(Request& request) override {
    if (holds_ && request.op == Op::write && request.slices.size() == 1 &&
        request.slices[0].iov_len == kBlockSize) {
      const ConstBytes block(static_cast<const std::byte*>(request.slices[0].iov_base), kBlockSize);
      const Pbn here{request.offset / kBlockSize};
      // A page that is made has no entries; those are let through.
      if (load_le64(block.data() + kPageNonceOffset) == kNonce &&
          load_le64(block.data() + kPagePbnOffset) == here.value() && has_entries(block)) {
        return;
      }
    }
    device_.submit(request);
  }
  [[nodiscard]] std::uint64_t size() const override { return device_.size(); }
  [[nodiscard]] const std::string& name() const override { return device_.name(); }
  void hold() { holds_ = true; }

 private:
  static bool has_entries(ConstBytes page) {
    for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
      if (entry(page, slot).is_mapped()) return true;
    }
    return false;
  }
  BackingStore& device_;
  bool holds_ = false;
};

Task<Result<std::unique_ptr<Volume>>> open(Executor& executor, BackingStore& device,
                                           const Options& options, std::uint32_t cache_pages) {
  VolumeOptions volume;
  volume.block_map_cache_pages = cache_pages;
  IndexFactory index = [](Executor&, Device&, const VolumeGeometry&, bool) {
    return std::make_unique<BoundedMemoryIndex>(64);
  };
  static_cast<void>(options);
  co_return co_await Volume::open(executor, device, volume, std::move(index), [](std::string) {});
}

[[noreturn]] void fail(const std::string& what) {
  fmt::print(stderr, "recovery_bench: {}\n", what);
  _exit(1);
}

Task<Result<void>> write(Volume& volume, std::uint64_t block, std::uint64_t content) {
  Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
  // One content after the other, 20 times each: little data, and no slab journal is full.
  SimRandom random(content);
  for (std::size_t at = 0; at < kBlockSize; at += 8) store_le64(buffer.data() + at, random.next());
  co_return co_await volume.write(block * kBlockSize, std::move(buffer), Durability::cached);
}

Task<void> writer(Volume& volume, SimRandom random, std::uint64_t& written, bool& stop) {
  const std::uint64_t blocks = volume.size() / kBlockSize;
  while (!stop) {
    const auto done = co_await write(volume, random.below(blocks), written / 20);
    if (!done) fail(done.error().message());
    ++written;
  }
}

/// In the child: does not return.
Task<void> fill(Executor& executor, BackingStore& file, const Options& options,
                VolumeLayout layout) {
  const auto formatted = co_await format_volume(file, layout);
  if (!formatted) fail(formatted.error().message());
  HoldingDevice device(file);
  // All pages that will be changed stay in the cache.
  auto opened = co_await open(executor, device, options, 2'000'000);
  if (!opened) fail(opened.error().message());
  Volume& volume = **opened;
  device.hold();
  TaskGroup writers(executor);
  std::uint64_t written = 0;
  bool stop = false;
  for (std::uint64_t i = 0; i < 64; ++i) {
    writers.start(writer(volume, SimRandom(i), written, stop));
  }
  Alarm alarm(executor);
  std::uint64_t last = 0;
  int still = 0;
  // Two seconds without a change: all writers wait for room in the journal.
  while (still < 20) {
    co_await alarm.sleep(std::chrono::milliseconds(100));
    const std::uint64_t now = volume.journal().blocks_in_use();
    still = now == last ? still + 1 : 0;
    last = now;
  }
  fmt::print(stderr, "{} blocks written; {} of {} journal blocks in use\n", written, last,
             volume.journal().usable_blocks());
  _exit(0);
}

struct Figures {
  std::uint64_t journal_entries = 0;
  double open_seconds = 0;
  double open_cpu = 0;
  double ready_seconds = 0;  ///< all slabs scrubbed
  std::uint64_t peak_bytes = 0;
  std::uint64_t memory_needed = 0;
  std::uint64_t logical_blocks_used = 0;
};

Task<void> recover(Executor& executor, BackingStore& device, const Options& options,
                   Figures& figures) {
  const Stopwatch watch;
  auto opened = co_await open(executor, device, options, options.cache_pages);
  if (!opened) fail(opened.error().message());
  const std::unique_ptr<Volume> volume = *std::move(opened);
  if (volume->is_read_only()) fail("the volume is read-only");
  figures.open_seconds = watch.seconds();
  figures.open_cpu = watch.processor();
  Alarm alarm(executor);
  while (volume->is_recovering()) co_await alarm.sleep(std::chrono::milliseconds(1));
  figures.ready_seconds = watch.seconds();
  figures.memory_needed = volume->memory_needed();
  figures.logical_blocks_used = volume->journal().logical_blocks_used();
  figures.peak_bytes = peak_memory();
  const auto stopped = co_await volume->stop();
  if (!stopped) fail(stopped.error().message());
}

void with_device(const Options& options, OpenMode mode,
                 const std::function<Task<void>(Executor&, BackingStore&)>& body) {
  auto loop = UringLoop::create();
  if (!loop) fail(loop.error().message());
  auto device = open_device(**loop, options.file, mode);
  if (!device) fail(device.error().message());
  (*loop)->run(body(**loop, **device));
}

int run(const Options& options) {
  FormatRequest request;
  const auto physical = parse_size(options.physical);
  const auto logical = parse_size(options.logical);
  if (!physical || !logical) fail("a size is a number with K, M, G or T");
  request.device_bytes = *physical;
  request.logical_bytes = *logical;
  request.nonce = kNonce;
  request.slab_bits = 13;
  auto layout = make_volume_layout(request);
  if (!layout) fail(layout.error().message());
  const FileDescriptor file(
      ::open(options.file.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (!file) fail(options.file + " cannot be made, or is there already");
  if (ftruncate(file.get(), static_cast<off_t>(*physical)) != 0) fail("the file cannot be made");

  // A process that ends like a machine without power: nothing of it is saved.
  const pid_t child = fork();
  if (child == 0) {
    with_device(options, OpenMode::read_write, [&](Executor& executor, BackingStore& device) {
      return fill(executor, device, options, *layout);
    });
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("the volume was not made");

  Figures figures;
  with_device(options, OpenMode::read_write, [&](Executor& executor, BackingStore& device) {
    return recover(executor, device, options, figures);
  });
  unlink(options.file.c_str());
  if (options.json) {
    nlohmann::json out = {{"open_seconds", figures.open_seconds},
                          {"open_cpu_seconds", figures.open_cpu},
                          {"ready_seconds", figures.ready_seconds},
                          {"peak_bytes", figures.peak_bytes},
                          {"memory_needed_bytes", figures.memory_needed},
                          {"logical_blocks_used", figures.logical_blocks_used}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print(
        "serves after {:.2f} s ({:.2f} s of processor), all slabs ready after {:.2f} s; at most "
        "{:.0f} MB of memory ({:.0f} MB when it runs); {} logical blocks in use\n",
        figures.open_seconds, figures.open_cpu, figures.ready_seconds,
        static_cast<double>(figures.peak_bytes) / 1e6,
        static_cast<double>(figures.memory_needed) / 1e6, figures.logical_blocks_used);
  }
  return 0;
}

int parse_and_run(int argc, char** argv) {
  Options options;
  uvdo::Arguments app("Recovers a volume whose recovery journal is full, and tells what that took.",
                      "recovery_bench");
  app.option("file", options.file, "where the volume is made (a new file)").required();
  app.option("--logical", options.logical, "logical size");
  app.option("--physical", options.physical, "physical size");
  app.option("--cache-pages", options.cache_pages, "block map cache, in pages of 4 KiB");
  app.flag("--json", options.json, "figures as JSON");
  if (auto status = app.parse(argc, argv)) return *status;
  return run(options);
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::parse_and_run(argc, argv); }
