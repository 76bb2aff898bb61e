// SPDX-License-Identifier: GPL-2.0-or-later
#include "small_history.h"

#include <cstring>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "async/wait_queue.h"
#include "history.h"
#include "index/bounded_memory_index.h"
#include "volume/format_volume.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

constexpr std::uint64_t kBlocks = 64;  // that the model looks at
// Blocks from here on fill the volume where it is to be full.
constexpr std::uint64_t kFirstFiller = 16;
constexpr Duration kCommitDelay{2'000'000};

// 31 data blocks in one slab, four of which the block map takes; two slabs if there is to be room.
VolumeShape shape_of(bool full) { return {8, full ? 1U : 2U, 224, 16, 2000}; }

VolumeOptions small_options(FaultPoints mistake) {
  VolumeOptions options;
  options.block_map_cache_pages = 16;
  options.buffer_bytes = 1U << 20U;
  options.compression = true;
  options.commit_delay = kCommitDelay;
  options.faults = mistake;
  return options;
}

using Records = std::vector<std::pair<IndexQuery, IndexData>>;

// Notes what it is told, so that the index of a later start can be told the same.
class NotingIndex final : public DedupeIndex {
 public:
  explicit NotingIndex(Records& notes) : notes_(notes), index_(1000) {
    for (const auto& [query, data] : notes_) index_.record(query, data);
  }
  [[nodiscard]] IndexState state() const override { return index_.state(); }
  [[nodiscard]] IndexStatistics statistics() const override { return index_.statistics(); }
  [[nodiscard]] std::uint64_t memory_needed() const override { return index_.memory_needed(); }
  Task<void> lookup(std::span<IndexQuery> queries) override { return index_.lookup(queries); }
  void record(const IndexQuery& query, const IndexData& data) override {
    notes_.emplace_back(query, data);
    index_.record(query, data);
  }
  Task<Result<void>> save() override { return index_.save(); }

 private:
  Records& notes_;
  BoundedMemoryIndex index_;
};

Task<Result<std::unique_ptr<Volume>>> open(Executor& executor, BackingStore& device,
                                           FaultPoints mistake, Records& records) {
  const VolumeOptions options = small_options(mistake);
  IndexFactory make_index = [&records](Executor&, Device&, const VolumeGeometry&, bool) {
    return std::make_unique<NotingIndex>(records);
  };
  co_return co_await Volume::open(executor, device, options, std::move(make_index),
                                  [](const std::string&) {});
}

Task<Result<void>> write(Volume& volume, const BlockChange& change, Durability durability) {
  AlignedMemory content(kBlockSize);
  fill_block(change.content, content.bytes());
  Buffer buffer = co_await volume.buffers().acquire(change.length);
  std::memcpy(buffer.data(), content.data() + change.offset, change.length);
  const std::uint64_t at = change.block * kBlockSize + change.offset;
  co_return co_await volume.write(at, std::move(buffer), durability);
}

BlockChange whole(std::uint64_t block, ContentKind kind, std::uint32_t number) {
  return {block, 0, kBlockSize, {kind, number}, false};
}

// What the base holds before it is filled: a block with two references, three compressed ones that
// share one on disk, and one alone.
std::vector<BlockChange> first_content() {
  return {whole(0, ContentKind::unique, 1),        whole(1, ContentKind::unique, 1),
          whole(2, ContentKind::compressible, 10), whole(3, ContentKind::compressible, 11),
          whole(4, ContentKind::compressible, 12), whole(5, ContentKind::unique, 2)};
}

// What operation number `at` of a history changes.
std::vector<BlockChange> changes_of(const std::vector<SmallOperation>& operations,
                                    std::uint32_t at) {
  switch (operations[at]) {
    case SmallOperation::write_new: return {whole(6 + at, ContentKind::unique, 100 + at)};
    case SmallOperation::duplicate: {
      std::uint32_t number = 1;
      for (std::uint32_t i = 0; i < at; ++i) {
        if (operations[i] == SmallOperation::write_new) number = 100 + i;
      }
      return {whole(5, ContentKind::unique, number)};
    }
    case SmallOperation::zero: return {whole(0, ContentKind::zero, 0)};
    case SmallOperation::compressible: return {whole(2, ContentKind::compressible, 200 + at)};
    case SmallOperation::overwrite: return {whole(0, ContentKind::unique, 300 + at)};
    case SmallOperation::discard:
      return {whole(1, ContentKind::zero, 0), whole(2, ContentKind::zero, 0)};
    case SmallOperation::flush:
    case SmallOperation::grow_logical:
    case SmallOperation::grow_physical:
    case SmallOperation::suspend:
    case SmallOperation::pause: return {};
    case SmallOperation::fua: return {whole(1, ContentKind::unique, 400 + at)};
    case SmallOperation::sub_block: return {{0, 1024, 512, {ContentKind::unique, 500 + at}, false}};
  }
  return {};
}

void put(Model& model, const std::vector<BlockChange>& content) {
  for (const BlockChange& change : content) model.acknowledge(model.begin({change}), false);
  model.stop_cleanly();
}

// What the offline tools make of what a power cut has left.
std::optional<std::string> look_offline(const SparseImage& image, const Model& model) {
  const auto seen = look_at_image(image, kBlocks, [&](std::uint64_t block, ConstBytes found) {
    return model.look_after_crash(block, found.empty() ? ConstBytes(kZeroBlock) : found);
  });
  if (!seen.wrong) return std::nullopt;
  return "seen offline: " + *seen.wrong;
}

}  // namespace

// A volume that was stopped cleanly.
struct SmallHistories::Base {
  SparseImage image{0};
  std::vector<BlockChange> content;
  Records records;
};

// A history as it went: what the disk was asked for, and what the model has to be told when.
struct SmallHistories::Run {
  struct Step {
    std::size_t position = 0;  // so many events of the disk came before
    std::function<void(Model&)> tell;
  };
  SimRecording recording{SparseImage(0), {}};
  std::vector<Step> steps;
  std::vector<std::pair<std::size_t, Sizes>> sizes;  // that it has grown to, and when
};

std::string describe(const SmallHistory& history) {
  std::string text;
  for (const SmallOperation operation : history.operations) {
    if (!text.empty()) text += " ";
    text += kSmallOperations.at(static_cast<std::size_t>(operation));
  }
  if (history.together) text += ", together";
  if (history.full) text += ", full";
  return text + fmt::format(", seed {}", history.seed);
}

SmallHistories::SmallHistories(const CrashStateOptions& options, FaultPoints mistake)
    : options_(options), mistake_(mistake) {}
SmallHistories::~SmallHistories() = default;

const SmallHistories::Base& SmallHistories::base(bool full) {
  std::unique_ptr<Base>& kept = bases_.at(full ? 1 : 0);
  if (kept) return *kept;
  kept = std::make_unique<Base>();
  VolumeSubject subject(shape_of(full));
  Result<SparseImage> blank = format_image(subject);
  check(blank.ok(), "the format of a small volume");
  SimExecutor executor({.seed = 1});
  SimDevice device(executor, *std::move(blank));
  const SimExecutor::Outcome outcome =
      executor.run([](SimExecutor& on, SimDevice& disk, bool fill, Base& made) -> Task<void> {
        auto opened = co_await open(on, disk, FaultPoints(), made.records);
        check(opened.ok(), "a small volume opens");
        const std::unique_ptr<Volume> volume = *std::move(opened);
        made.content = first_content();
        std::uint32_t next = 0;
        while (true) {
          if (next == made.content.size()) {
            const Result<void> flushed = co_await volume->flush();
            check(flushed.ok(), "a small volume flushes");
            if (!fill || volume->depot().free_blocks() <= 2) break;
            const std::uint64_t to = kFirstFiller + next;
            made.content.push_back(whole(to, ContentKind::unique, 1000 + next));
          }
          const BlockChange change = made.content[next++];
          const Result<void> written = co_await write(*volume, change, Durability::cached);
          check(written.ok(), "a small volume is written to");
        }
        const Result<void> stopped = co_await volume->stop();
        check(stopped.ok(), "a small volume stops");
      }(executor, device, full, *kept));
  check(outcome.finished, "the first start of a small volume");
  kept->image = device.durable();
  return *kept;
}

// Runs the history once, on a disk that notes everything.
std::string SmallHistories::record(const Base& base, const SmallHistory& history, Run& run) const {
  struct Context {
    SimExecutor& executor;
    SimDevice& disk;
    const SmallHistory& history;
    FaultPoints mistake;
    Records records;
    Run& run;
    Model model;  // here only to know the names of operations
    std::string failure;

    void tell(std::function<void(Model&)> what) {
      what(model);
      run.steps.push_back({disk.recorded_events(), std::move(what)});
    }
    void note(const std::string& line) const {
      if (executor.is_tracing()) executor.trace(line);
    }
    Task<void> grow(Volume& volume, bool physical) {
      const VolumeConfig before = volume.super_block().config;
      const std::uint64_t larger =
          physical ? before.physical_blocks + before.slab_size : before.logical_blocks * 2;
      Result<void> done;
      if (physical) {
        done = co_await volume.grow({.physical_bytes = larger * kBlockSize});
      } else {
        done = co_await volume.grow({.logical_bytes = larger * kBlockSize});
      }
      // Together with a suspension it may come when the volume is suspended, with another growth
      // when that size has been passed.
      const bool may_fail =
          history.together && !done &&
          (done.error().code() == Errc::busy || done.error().code() == Errc::invalid_argument);
      if (!done && !may_fail) failure = "growth: " + done.error().message();
      const VolumeConfig& now = volume.super_block().config;
      run.sizes.emplace_back(disk.recorded_events(),
                             Sizes{now.logical_blocks, now.physical_blocks});
    }
    /// What was answered before is stable while the volume is suspended.
    Task<void> suspend(Volume& volume, bool saved) {
      Model::Token token = 0;
      tell([&token](Model& to) { token = to.begin_flush(); });
      run.steps.back().tell = [](Model& to) { to.begin_flush(); };
      auto done = co_await volume.suspend(saved ? SuspendMode::save : SuspendMode::no_save);
      if (!done) {
        const bool may_fail = history.together && done.error().code() == Errc::busy;
        if (!may_fail) failure = "suspension: " + done.error().message();
        co_return;
      }
      tell([token](Model& to) { to.acknowledge_flush(token); });
      const std::uint64_t requests = disk.requests();
      if (saved) failure = audit_image(disk.content()).value_or("");
      Alarm alarm(executor);
      co_await alarm.sleep(kCommitDelay * 5);
      if (disk.requests() != requests) failure = "a suspended volume used its device";
      done = co_await volume.resume();
      if (!done) failure = "resuming: " + done.error().message();
    }
    Task<void> one(Volume& volume, std::uint32_t at) {
      const SmallOperation operation = history.operations[at];
      switch (operation) {
        case SmallOperation::grow_logical: co_return co_await grow(volume, false);
        case SmallOperation::grow_physical: co_return co_await grow(volume, true);
        case SmallOperation::suspend: co_return co_await suspend(volume, true);
        case SmallOperation::pause: co_return co_await suspend(volume, false);
        default: break;
      }
      const std::vector<BlockChange> changes = changes_of(history.operations, at);
      const std::string_view name = kSmallOperations.at(static_cast<std::size_t>(operation));
      note(fmt::format("client: {} begins", name));
      // Tokens are the same in each model that is told the same.
      Model::Token token = 0;
      const bool is_flush = operation == SmallOperation::flush;
      if (is_flush) {
        tell([&token](Model& to) { token = to.begin_flush(); });
        run.steps.back().tell = [](Model& to) { to.begin_flush(); };
      } else {
        tell([&token, changes](Model& to) { token = to.begin(changes); });
        run.steps.back().tell = [changes](Model& to) { to.begin(changes); };
      }
      const bool stable = operation == SmallOperation::fua;
      Result<void> done;
      if (is_flush) {
        done = co_await volume.flush();
      } else if (operation == SmallOperation::discard) {
        done = co_await volume.discard(kBlockSize, 2 * kBlockSize, Durability::cached);
      } else {
        const Durability durability = stable ? Durability::fua : Durability::cached;
        done = co_await write(volume, changes.front(), durability);
      }
      note(fmt::format("client: {} {}", name, done ? "done" : done.error().message()));
      if (!done) {
        if (done.error().code() != Errc::no_space || !history.full || is_flush) {
          failure = fmt::format("{} failed: {}", name, done.error().message());
        }
        tell([token](Model& to) { to.fail(token); });
      } else if (is_flush) {
        tell([token](Model& to) { to.acknowledge_flush(token); });
      } else {
        tell([token, stable](Model& to) { to.acknowledge(token, stable); });
      }
    }
    Task<void> main() {
      auto opened = co_await open(executor, disk, mistake, records);
      if (!opened) {
        failure = opened.error().message();
        co_return;
      }
      const std::unique_ptr<Volume> volume = *std::move(opened);
      TaskGroup group(executor);
      for (std::uint32_t i = 0; i < history.operations.size(); ++i) {
        group.start(one(*volume, i));
        if (!history.together) co_await group.wait();
      }
      co_await group.wait();
      Alarm alarm(executor);
      co_await alarm.sleep(kCommitDelay * 3);  // what goes on in the background
      note("client: stop");
      const Result<void> stopped = co_await volume->stop();
      if (!stopped) failure = stopped.error().message();
      tell([](Model& to) { to.stop_cleanly(); });
    }
  };
  SimExecutor executor({.seed = history.seed});
  if (trace_) executor.set_trace(trace_);
  SimDevice disk(executor, base.image);
  disk.start_recording();
  Context context{executor, disk, history, mistake_, base.records, run, Model(kBlocks), {}};
  put(context.model, base.content);
  const SimExecutor::Outcome outcome = executor.run(context.main(), 1'000'000);
  if (!outcome) return outcome.why;
  if (!disk.misuse().empty()) return disk.misuse();
  run.recording = disk.recording();
  return context.failure;
}

// Opens what a power cut has left, reads it, stops it and looks at it.
std::string SmallHistories::recover(SparseImage image, Model& model, const Sizes& at_least) const {
  model.crash();
  if (const auto wrong = look_offline(image, model)) return *wrong;
  SimExecutor executor({.seed = 7});
  SimDevice disk(executor, std::move(image));
  std::string failure;
  const SimExecutor::Outcome outcome = executor.run(
      [](SimExecutor& on, SimDevice& from, FaultPoints mistake, Model& promises, const Sizes& least,
         std::string& wrong) -> Task<void> {
        Records none;
        auto opened = co_await open(on, from, mistake, none);
        if (!opened) {
          wrong = "it does not open: " + opened.error().message();
          co_return;
        }
        const std::unique_ptr<Volume> volume = *std::move(opened);
        if (volume->is_read_only()) wrong = "it is read-only";
        const VolumeConfig& config = volume->super_block().config;
        if (config.logical_blocks < least.logical || config.physical_blocks < least.physical) {
          wrong = "it has not kept the size that it had grown to";
        }
        AlignedMemory content(kBlocks * kBlockSize);
        const Result<void> read = co_await volume->read(0, content.bytes());
        if (!read) wrong = "it cannot be read: " + read.error().message();
        for (std::uint64_t block = 0; block < kBlocks && wrong.empty(); ++block) {
          const auto bad = promises.check_after_crash(
              block, content.bytes().subspan(block * kBlockSize, kBlockSize));
          if (bad) wrong = *bad;
        }
        const Result<void> stopped = co_await volume->stop();
        if (!stopped && wrong.empty()) wrong = "it does not stop: " + stopped.error().message();
      }(executor, disk, mistake_, model, at_least, failure),
      1'000'000);
  if (!outcome) return outcome.why;
  if (failure.empty()) failure = audit_image(disk.content()).value_or("");
  return failure;
}

std::string SmallHistories::run(const SmallHistory& history) {
  const Base& from = base(history.full);
  Run run;
  std::string failure = record(from, history, run);
  if (!failure.empty()) return describe(history) + ": " + failure;
  ++counts_.histories;

  SimRandom random(mix_bits(history.seed));
  CrashPoints points(run.recording);
  const auto model_at = [&](std::size_t position) {
    Model model(kBlocks);
    put(model, from.content);
    for (const Run::Step& step : run.steps) {
      if (step.position <= position) step.tell(model);
    }
    return model;
  };
  // What may be left behind at a moment is possible at the next one too, unless something became
  // stable or was promised in between, or is sampled there: then it has to be looked at now.
  Model now(kBlocks);
  put(now, from.content);
  std::size_t told = 0;
  std::size_t grown = 0;
  const auto tell_up_to = [&](std::size_t position) {
    for (; told < run.steps.size() && run.steps[told].position <= position; ++told) {
      run.steps[told].tell(now);
    }
    for (; grown < run.sizes.size() && run.sizes[grown].first <= position; ++grown) {
    }
    return now.crash_hash() ^ mix_bits(grown);
  };
  const auto sizes_at = [&](std::size_t position) {
    Sizes sizes;
    for (const auto& [when, reached] : run.sizes) {
      if (when <= position) sizes = reached;
    }
    return sizes;
  };
  std::uint64_t promises = tell_up_to(0);
  bool more = true;
  while (more) {
    ++counts_.points;
    const std::size_t position = points.position();
    const CrashPoints here = points;
    more = points.next();
    const std::uint64_t next_promises = more ? tell_up_to(points.position()) : promises;
    if (more && next_promises == promises && points.at_risk() >= here.at_risk() &&
        (here.at_risk() > options_.exhaustive_up_to ||
         points.at_risk() <= options_.exhaustive_up_to) &&
        !run.recording.events[position].fua) {
      continue;
    }
    for (SparseImage& image : here.states(options_, random)) {
      ++counts_.images;
      if (!seen_.insert(mix_bits(image.hash()) ^ promises).second) continue;
      ++counts_.distinct;
      Model model = model_at(position);
      failure = recover(std::move(image), model, sizes_at(position));
      if (failure.empty()) continue;
      return fmt::format("{}: power cut after {} of {} events: {}", describe(history), position,
                         run.recording.events.size(), failure);
    }
    promises = next_promises;
  }
  return {};
}

}  // namespace uvdo::sim
