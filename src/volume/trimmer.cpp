// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/trimmer.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

/// Blocks of one discard: as many take a file system a few milliseconds, for which a writer that
/// finds no other room may have to wait.
constexpr std::uint32_t kMostAtOnce = 4096;
/// Work to look at a slab, and to claim a run.
constexpr std::uint64_t kUnitsPerSlab = 20;
constexpr std::uint64_t kUnitsPerRun = 200;
/// Blocks become free in portions; there are no more of them than this before trim() begins.
constexpr unsigned kMostPortions = 1024;

}  // namespace

Trimmer::Trimmer(Executor& executor, PbnDevice blocks, const VolumeLife& life,
                 const ReadOnlyNotifier& notifier, Entrance& entrance, Ledger& ledger,
                 const VolumeOptions& options, LogFunction log)
    : executor_(executor),
      blocks_(blocks),
      life_(life),
      notifier_(notifier),
      entrance_(entrance),
      journal_(ledger.journal()),
      depot_(ledger.depot()),
      options_(options),
      log_(std::move(log)),
      alarm_(executor),
      callers_(executor),
      tasks_(executor) {}

void Trimmer::start() {
  if (!options_.discards_freed) return;
  state_ = State::on;
  tasks_.start(discard_regularly());
}

Task<void> Trimmer::end() {
  alarm_.ring();
  co_await callers_.drain();
  co_await tasks_.wait();
}

Task<Result<TrimCounts>> Trimmer::trim() {
  const RequestPass caller(callers_);
  if (life_.is_stopping()) co_return Entrance::refused();
  if (auto writable = entrance_.check_writable(); !writable) co_return std::move(writable).error();
  // What was freed by requests that were answered before is to be free.
  auto committed = co_await journal_.commit_all();
  if (!committed) co_return std::move(committed).error();
  for (unsigned i = 0; depot_.pending_free_count() > 0 && i < kMostPortions; ++i) {
    co_await depot_.wait_for_frees();
    co_await executor_.give_way();
  }
  TrimCounts counts = counts_;
  for (SlabNumber slab = 0; slab < depot_.slab_count(); ++slab) {
    Range range{slab, 0, static_cast<Sbn>(depot_.layout().data_blocks())};
    while (range.begin < range.end) {
      auto done = co_await discard_next(range);
      if (!done) co_return std::move(done).error();
      co_await executor_.give_way();
    }
  }
  counts.runs = counts_.runs - counts.runs;
  counts.bytes = counts_.bytes - counts.bytes;
  co_return counts;
}

/// In its sleep more blocks become free next to those that have, and some are taken anew: longer
/// runs, and fewer of them.
Task<void> Trimmer::discard_regularly() {
  bool is_done = true;
  while (!life_.is_ending() && state_ == State::on) {
    co_await alarm_.sleep(options_.discard_delay);
    if (life_.is_ending() || state_ != State::on || notifier_.is_read_only()) continue;
    depot_.collect_frees();
    const std::uint64_t released = depot_.released_blocks();
    if (is_done && released == seen_released_) continue;
    seen_released_ = released;
    is_done = co_await discard_freed();
  }
}

Task<bool> Trimmer::discard_freed() {
  for (SlabNumber slab = 0; slab < depot_.slab_count(); ++slab) {
    executor_.spend(kUnitsPerSlab);
    co_await executor_.give_way();
    Sbn at = 0;
    while (const auto areas = depot_.take_freed_areas(slab, at)) {
      at = areas->first + areas->count;
      auto done = co_await discard_areas({slab, areas->first, at});
      // They are left for later, or for nobody.
      if (!done) {
        depot_.leave_freed_areas(slab, areas->first, at);
        co_return false;
      }
    }
  }
  co_return true;
}

Task<Result<void>> Trimmer::discard_areas(Range range) {
  while (range.begin < range.end) {
    // A trim() beside it may have been refused; or all that is left is promised to writers.
    if (state_ != State::on) co_return Error(Errc::unsupported, "a discard was refused");
    if (depot_.free_blocks() == 0) co_return Error(Errc::no_space, "no block is free");
    const TimePoint began = executor_.now();
    auto done = co_await discard_next(range);
    if (!done) co_return done;
    // Half of the time the device is left to clients.
    const Duration took = executor_.now() - began;
    if (took > Duration{0} && !life_.is_stopping()) co_await alarm_.sleep(took);
  }
  co_return Result<void>();
}

Task<Result<void>> Trimmer::discard_next(Range& range) {
  const RequestPass pass = co_await entrance_.gate().enter();
  if (!pass || life_.is_stopping()) co_return Entrance::refused();
  if (notifier_.is_read_only()) co_return notifier_.error();
  executor_.spend(kUnitsPerRun);
  const auto run = depot_.claim_run(range.slab, range.begin, range.end, kMostAtOnce);
  if (!run) {
    range.begin = range.end;
    co_return Result<void>();
  }
  const bool is_claimed = !options_.faults.is_on(Fault::discard_without_claim);
  if (!is_claimed) depot_.give_back(*run);
  auto done = co_await blocks_.discard(run->first, run->count);
  if (is_claimed) depot_.give_back(*run);
  if (!done) {
    refuse(done.error());
    co_return done;
  }
  range.begin = depot_.layout().sbn_of(run->first) + run->count;
  ++counts_.runs;
  counts_.bytes += run->count * kBlockSize;
  co_return done;
}

/// Nothing is lost with it but room.
void Trimmer::refuse(const Error& error) {
  if (state_ == State::refused) return;
  state_ = State::refused;
  log_({LogLevel::warning,
        fmt::format("free blocks are not discarded any more beneath the volume: {}",
                    error.message())});
}

void Trimmer::add_to(ExtraStatistics& extra) const {
  extra.discard_state = std::string(name_of(state_));
  extra.discarded_runs = counts_.runs;
  extra.discarded_bytes = counts_.bytes;
}

std::string_view name_of(Trimmer::State state) {
  switch (state) {
    case Trimmer::State::off: return "off";
    case Trimmer::State::on: return "on";
    case Trimmer::State::refused: return "refused";
  }
  return "unknown";
}

}  // namespace uvdo
