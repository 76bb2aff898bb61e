// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/workload_runner.h"

#include <algorithm>
#include <cstring>

#include "base/stopwatch.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSmallVolume = 8ULL << 30U;
constexpr std::uint64_t kLargeVolume = 1ULL << 40U;
/// The warm-up discards a fifth.
constexpr std::uint64_t kManyCopies = 125ULL << 30U;
constexpr std::uint64_t kHugeVolume = 100ULL << 40U;
/// Numbers of the data that a workload writes: none of the set's.
constexpr std::uint64_t kFresh = 1ULL << 40U;
/// The latency of every so many requests is measured when many are under way.
constexpr std::uint64_t kSampling = 8;

}  // namespace

/// A workload with its numbers.
struct WorkloadRunner::Plan {
  Workload workload;
  std::uint64_t requests = 0;
  std::uint64_t warm_up = 0;
  std::uint64_t set_blocks = 0;
  std::uint64_t logical_bytes = kSmallVolume;
  std::uint64_t base = 0;    // byte where the requests go
  std::uint64_t places = 0;  // so many requests fit there
  [[nodiscard]] bool is_raw() const {
    return workload.action == Workload::Action::raw_read ||
           workload.action == Workload::Action::raw_write;
  }
};

/// What a workload means in numbers, with these settings: how many requests, where they go, and how
/// large the volume has to be.
WorkloadRunner::Plan WorkloadRunner::make_plan(const Workload& workload) const {
  using Action = Workload::Action;
  using Start = Workload::Start;
  Plan plan;
  plan.workload = workload;
  if (plan.workload.depth == 0) plan.workload.depth = settings_.depth;
  const std::uint64_t per_request = workload.request_bytes / kBlockSize;
  plan.requests = std::max<std::uint64_t>(1, settings_.blocks * workload.share / 100 / per_request);
  plan.set_blocks = settings_.set_bytes / kBlockSize;
  // So many different requests there are; those beyond that number go round.
  plan.places = plan.set_blocks / per_request;
  // Copies go behind the set, which stays as it is.
  if (workload.source == Workload::Source::picks_of_set ||
      workload.start == Start::duplicated_set) {
    plan.base = settings_.set_bytes;
  } else if (workload.start == Start::empty && workload.addresses == Workload::Addresses::random &&
             !plan.is_raw()) {
    plan.places = kSmallVolume / workload.request_bytes;
  } else if (workload.start == Start::empty) {
    plan.places = (settings_.device_bytes - (1ULL << 30U)) / workload.request_bytes;
    if (!plan.is_raw()) plan.places = kSmallVolume / workload.request_bytes;
    // What was never written would not be read from the disk.
    if (workload.action == Workload::Action::raw_read) {
      plan.places = settings_.set_bytes / workload.request_bytes;
    }
  }
  // All over a large map.
  if (workload.start == Start::every_leaf) {
    plan.logical_bytes = kLargeVolume;
    plan.places = kLargeVolume / workload.request_bytes;
  }
  if (workload.start == Start::many_copies) {
    plan.logical_bytes = kLargeVolume;
    plan.places = kManyCopies / workload.request_bytes;
  }
  if (workload.action == Action::discard && workload.start == Start::empty) {
    // One discard of all of it.
    plan.requests = plan.places = 1;
    plan.logical_bytes = kHugeVolume;
  } else if (workload.action == Action::discard) {
    // Each place once, warm-up included: what is discarded already would be nothing to do.
    plan.warm_up = plan.places / 5;
    plan.requests = plan.places - plan.warm_up;
  } else if (plan.workload.depth > 1) {
    plan.warm_up = plan.requests / 5;
  }
  return plan;
}

Task<Result<WorkloadFigures>> WorkloadRunner::run(const Workload& workload) {
  const Plan plan = make_plan(workload);
  random_.seed(7);
  ScratchRequest request;
  request.path = settings_.path;
  request.device_bytes = settings_.device_bytes;
  request.logical_bytes = plan.logical_bytes;
  request.data_bytes = plan.set_blocks * kBlockSize +
                       (plan.requests + plan.warm_up) *
                           std::min<std::uint64_t>(plan.workload.request_bytes, 1U << 20U);
  request.options.compression = workload.compression;
  request.options.deduplication = settings_.deduplication;
  ScratchVolume scratch(loop_, std::move(request));
  auto done = scratch.make_device();
  WorkloadFigures figures;
  if (done) done = co_await run_on(scratch, plan, figures);
  if (!done) co_return std::move(done).error();
  co_return figures;
}

Task<Result<void>> WorkloadRunner::run_on(ScratchVolume& scratch, const Plan& plan,
                                          WorkloadFigures& figures) {
  figures.workload = plan.workload.name;
  figures.depth = plan.workload.depth;
  figures.request_bytes = plan.workload.request_bytes;
  if (plan.is_raw()) {
    auto ready = co_await prepare_raw(scratch, plan);
    if (ready) ready = co_await measure(scratch, plan, figures);
    co_return ready;
  }
  auto done = co_await scratch.make_volume();
  if (!done) co_return done;
  figures.memory_bytes = scratch.volume().memory_needed();
  if (settings_.index_records > 0 && scratch.index() != nullptr) {
    done = co_await fill_index(*scratch.index());
  }
  if (done) done = co_await prepare(scratch, plan);
  if (done) done = co_await measure(scratch, plan, figures);
  // Also after an error: a volume has to be stopped before it is destroyed.
  auto stopped = co_await scratch.stop();
  co_return done ? std::move(stopped) : std::move(done);
}

// Random names, which no data of a workload have: they only take room, as those of a volume long in
// use do.
Task<Result<void>> WorkloadRunner::fill_index(DedupeIndex& index) {
  const IndexData data{};
  for (std::uint64_t i = 0; i < settings_.index_records; ++i) {
    IndexQuery query;
    store_le64(query.name.bytes.data(), random_());
    store_le64(query.name.bytes.data() + 8, random_());
    index.record(query, data);
    if (i % 256 == 0) co_await loop_.yield();
  }
  co_return Result<void>();
}

Task<Result<void>> WorkloadRunner::prepare(ScratchVolume& scratch, const Plan& plan) {
  using Start = Workload::Start;
  if (plan.workload.start == Start::empty) co_return Result<void>();
  Plan writes;
  // The writes that make the start, as a workload of their own.
  writes.workload.depth = 256;
  writes.set_blocks = plan.set_blocks;
  writes.requests = writes.places = plan.set_blocks;
  if (plan.workload.start == Start::compressed_set) {
    writes.workload.pattern = Pattern::compressible;
  }
  if (plan.workload.start == Start::every_leaf) {
    writes.workload.start = Start::every_leaf;
    writes.requests = writes.places = kLargeVolume / kBlockSize / kEntriesPerPage;
  }
  if (plan.workload.start == Start::many_copies) {
    writes.workload.source = Workload::Source::set_again;
    writes.workload.request_bytes = 1U << 20U;
    writes.workload.depth = 32;
    writes.requests = writes.places = kManyCopies / writes.workload.request_bytes;
  }
  auto done = co_await many(scratch, writes, 0, writes.requests, nullptr);
  if (done && plan.workload.start == Start::duplicated_set) {
    writes.base = settings_.set_bytes;
    writes.workload.source = Workload::Source::picks_of_set;
    done = co_await many(scratch, writes, 0, writes.requests, nullptr);
  }
  if (done) done = co_await scratch.volume().flush();
  co_return done;
}

Task<Result<void>> WorkloadRunner::prepare_raw(ScratchVolume& scratch, const Plan& plan) {
  if (plan.workload.action != Workload::Action::raw_read) co_return Result<void>();
  Plan writes;
  writes.workload.action = Workload::Action::raw_write;
  writes.workload.request_bytes = 128U << 10U;
  writes.workload.depth = 32;
  writes.requests = writes.places = settings_.set_bytes / writes.workload.request_bytes;
  auto done = co_await many(scratch, writes, 0, writes.requests, nullptr);
  if (done) done = co_await scratch.device().flush();
  co_return done;
}

Task<Result<void>> WorkloadRunner::measure(ScratchVolume& scratch, const Plan& plan,
                                           WorkloadFigures& figures) {
  // Numbers of the data go on from the warm-up, so that nothing is written twice.
  auto done = co_await many(scratch, plan, kFresh, plan.warm_up, nullptr);
  if (!done) co_return done;
  // From here on only what the measured requests cause counts.
  const auto writes = [&]() -> std::uint64_t {
    if (plan.is_raw()) return 0;
    const VolumeStatistics s = scratch.volume().statistics();
    return s.bios_out.write + s.bios_meta.write;
  };
  const auto map_reads = [&]() -> std::uint64_t {
    return plan.is_raw() ? 0 : scratch.volume().block_map().counters().read_count;
  };
  const std::uint64_t writes_before = writes();
  const std::uint64_t reads_before = map_reads();
  LatencyHistogram latencies;
  const Stopwatch watch;
  done = co_await many(scratch, plan, kFresh + plan.warm_up, plan.requests, &latencies);
  // Until the last answer; until all is stable is the other figure, as answers come before that.
  figures.seconds = watch.seconds();
  if (done) {
    if (plan.is_raw()) {
      done = co_await scratch.device().flush();
    } else {
      done = co_await scratch.volume().flush();
    }
  }
  if (!done) co_return done;
  figures.total_seconds = watch.seconds();
  const double user = watch.user();
  const double system = watch.system();
  figures.requests = plan.requests;
  figures.bytes = plan.requests * plan.workload.request_bytes;
  if (plan.logical_bytes == kHugeVolume) figures.bytes = plan.logical_bytes;
  const double blocks = static_cast<double>(figures.bytes) / kBlockSize;
  figures.user_us = user / blocks * 1e6;
  figures.system_us = system / blocks * 1e6;
  figures.latency_us[0] = latencies.percentile(50);
  figures.latency_us[1] = latencies.percentile(99);
  figures.latency_us[2] = latencies.percentile(99.9);
  figures.latency_us[3] = latencies.maximum();
  figures.device_writes = static_cast<double>(writes() - writes_before) / blocks;
  figures.map_reads = static_cast<double>(map_reads() - reads_before) / blocks;
  co_return done;
}

Task<Result<void>> WorkloadRunner::many(ScratchVolume& scratch, const Plan& plan,
                                        std::uint64_t first, std::uint64_t count,
                                        LatencyHistogram* latencies) {
  // Each client takes the next number until none is left; the first error ends all of them.
  struct Shared {
    std::uint64_t next;
    std::uint64_t end;
    Result<void> done;
  };
  Shared shared{first, first + count, {}};
  // Writes and discards of a volume have no memory here: a write's data go into a buffer of the
  // volume's.
  const bool needs_room = plan.workload.action != Workload::Action::write &&
                          plan.workload.action != Workload::Action::discard;
  const std::size_t room = needs_room ? plan.workload.request_bytes : 0;
  // Each client has a part of it for itself.
  const AlignedMemory memory(std::max<std::size_t>(room * plan.workload.depth, kBlockSize));
  if (plan.workload.action == Workload::Action::raw_write) {
    patterns_.fill(memory.bytes(), Pattern::unique, 1);
  }
  const auto client = [](WorkloadRunner& runner, ScratchVolume& target, const Plan& what,
                         Shared& all, MutableBytes space,
                         LatencyHistogram* measured) -> Task<void> {
    const std::uint64_t every = what.workload.depth == 1 ? 1 : kSampling;
    while (all.next < all.end && all.done) {
      const std::uint64_t number = all.next++;
      const bool is_timed = measured != nullptr && number % every == 0;
      const TimePoint start = is_timed ? runner.loop_.now() : TimePoint{};
      auto done = co_await runner.request(target, what, number, space);
      if (is_timed) measured->add(runner.loop_.now() - start);
      if (!done && all.done) all.done = std::move(done);
      // A client that is answered at once lets the others have their turn.
      co_await runner.loop_.yield();
    }
  };
  const auto flusher = [](WorkloadRunner& runner, ScratchVolume& target,
                          Shared& all) -> Task<void> {
    Alarm pause(runner.loop_);
    while (all.next < all.end && all.done) {
      co_await pause.sleep(VolumeOptions{}.commit_delay);
      auto done = co_await target.device().flush();
      if (!done && all.done) all.done = std::move(done);
    }
  };
  TaskGroup clients(loop_);
  if (plan.workload.is_flushed) clients.start(flusher(*this, scratch, shared));
  for (unsigned c = 0; c < plan.workload.depth; ++c) {
    clients.start(
        client(*this, scratch, plan, shared, memory.bytes().subspan(c * room, room), latencies));
  }
  co_await clients.wait();
  co_return std::move(shared.done);
}

Task<Result<void>> WorkloadRunner::request(ScratchVolume& scratch, const Plan& plan,
                                           std::uint64_t number, MutableBytes room) {
  using Action = Workload::Action;
  const Workload& workload = plan.workload;
  const std::uint64_t bytes = workload.request_bytes;
  // Place and data follow from the number, or from random numbers with a fixed seed.
  const std::uint64_t place =
      (workload.addresses == Workload::Addresses::random ? random_() : number) % plan.places;
  std::uint64_t offset = plan.base + place * bytes;
  if (workload.start == Workload::Start::every_leaf &&
      workload.addresses == Workload::Addresses::ascending) {
    offset = place * kEntriesPerPage * kBlockSize;
  }
  bool reads = workload.action == Action::read;
  if (workload.action == Action::mixed) reads = random_() % 10 < 7;
  if (workload.action == Action::raw_read) {
    co_return co_await scratch.device().read(offset, room);
  }
  if (workload.action == Action::raw_write) {
    co_return co_await scratch.device().write(offset, room);
  }
  Volume& volume = scratch.volume();
  if (workload.action == Action::discard) {
    const std::uint64_t length = plan.places == 1 ? volume.size() : bytes;
    co_return co_await volume.discard(offset, length, Durability::cached);
  }
  if (reads) co_return co_await volume.read(offset, room);
  std::uint64_t id = number * (bytes / kBlockSize);
  if (workload.source == Workload::Source::picks_of_set) id = random_() % plan.set_blocks;
  if (workload.source == Workload::Source::set_again) id %= plan.set_blocks;
  co_return co_await write(volume, offset, bytes, workload.pattern, id);
}

Task<Result<void>> WorkloadRunner::write(Volume& volume, std::uint64_t offset, std::uint64_t bytes,
                                         Pattern pattern, std::uint64_t id) {
  Result<void> done;
  while (done && bytes > 0) {
    const std::size_t piece = std::min<std::uint64_t>(bytes, BufferPool::kLargest);
    Buffer buffer = volume.buffers().try_acquire(piece);
    if (buffer.data() == nullptr) buffer = co_await volume.buffers().acquire(piece);
    patterns_.fill(buffer.bytes(), pattern, id);
    done = co_await volume.write(offset, std::move(buffer), Durability::cached);
    offset += piece;
    bytes -= piece;
    id += piece / kBlockSize;
  }
  co_return done;
}

}  // namespace uvdo
