// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/volume.h"

#include <fmt/core.h>

#include "base/size_text.h"
#include "volume/pool_sizes.h"

namespace uvdo {

Volume::Volume(Executor& executor, BackingStore& store, const VolumeOptions& options,
               const VolumeGeometry& geometry, const SuperBlock& super_block, LogFunction log,
               MutableBytes kept)
    : executor_(executor),
      store_(store),
      options_(options),
      geometry_(geometry),
      log_(std::move(log)),
      gates_(executor, store, options.no_space_timeout),
      kept_(kept, KeptLayout::of(options), options.faults),
      super_blocks_(executor, PbnDevice(gates_.flushes, geometry.bio_offset), geometry.data_start,
                    super_block),
      ledger_(executor, blocks(), super_block, ledger_settings(options, kept_.journal()), notifier_,
              log_),
      entrance_(executor, life_, notifier_, super_blocks_, counters_.errors),
      buffers_(executor, options, kept_.arena()),
      admission_(executor, gates_.room, store.name(), life_, entrance_, buffers_.clients,
                 counters_.errors, log_),
      in_flight_(executor, blocks_at_once(options), &kept_),
      index_(executor, life_, entrance_, options_, log_),
      data_writer_(executor, blocks()),
      packer_(executor, data_writer_, static_cast<BinAllocator&>(*this), ledger_.depot().epochs(),
              options.packer_fragments),
      reads_(executor, blocks(), ledger_, in_flight_, entrance_, index_, buffers_, options_,
             counters_.requests),
      deduplication_(executor, ledger_.depot(), reads_, index_, buffers_, options_,
                     blocks_at_once(options), counters_),
      update_(executor, ledger_),
      maintenance_(executor, life_, notifier_, ledger_, options.commit_delay, log_),
      trimmer_(executor, blocks(), life_, notifier_, entrance_, ledger_, options_, log_),
      jobs_(executor, options.write_jobs, options.faults),
      packing_(executor, ledger_, in_flight_, jobs_, packer_, data_writer_, deduplication_, update_,
               index_, buffers_, options_),
      placement_(executor, ledger_, in_flight_, jobs_, data_writer_, deduplication_, update_,
                 packing_, index_, maintenance_, options_),
      writes_(executor, life_, notifier_, entrance_, admission_, ledger_, in_flight_, jobs_,
              placement_, reads_, packer_, buffers_, options_, counters_),
      discarder_(executor, entrance_, admission_, ledger_, in_flight_, writes_, maintenance_,
                 buffers_, options_, counters_.requests),
      saver_(notifier_, ledger_, index_, super_blocks_),
      record_(executor, store, gates_.flushes, ledger_, super_blocks_, log_),
      administration_(executor),
      suspension_(geometry_, store, gates_, life_, notifier_, entrance_, admission_,
                  administration_, ledger_, super_blocks_, writes_, saver_, record_, options.faults,
                  log_),
      growth_(store, gates_, geometry_, life_, notifier_, entrance_, admission_, administration_,
              suspension_, ledger_, super_blocks_, options_, log_),
      savings_(executor, life_, suspension_, super_blocks_, ledger_),
      packer_runs_(executor) {
  if (options.work.thread() != nullptr) store.share_reads(&options.work.thread()->batches());
  super_blocks_.on_stable([this](const SuperBlock& stable) { kept_.rename(stable); });
  ledger_.on_wanting([this] { writes_.hurry(); });
  admission_.on_refusal([this] { suspension_.break_off(); });
}

Volume::~Volume() { store_.share_reads(nullptr); }

Task<Result<void>> Volume::stop() {
  // A suspension first, for it holds requests that the rest waits for.
  auto resumed = co_await suspension_.end();
  // Requests that are under way end; new ones are refused.
  life_.enter(VolumeLife::Stage::stopping);
  // A growth that has begun ends; those that wait for their turn are refused.
  co_await administration_.drain();
  if (suspension_.state() == Suspension::State::abandoned) {
    auto ended = co_await stop_without_device();
    co_return resumed ? std::move(ended) : std::move(resumed);
  }
  // Who is held is refused. Then the writes that were answered come into the map, and requests
  // under way to their end: so a save finds nothing that changes.
  entrance_.gate().abandon();
  co_await writes_.drain();
  co_await entrance_.gate().drain();
  co_await end_background();
  if (life_.is_for_reading()) co_return Result<void>();  // there is nothing to save
  auto done = co_await saver_.save(IndexHolder::Saving::and_close);
  co_await record_.wait();  // a failure has to be recorded before the volume goes away
  if (done) kept_.enter(KeptPhase::idle);
  if (!done && admission_.is_given_up()) co_return given_up_error();
  co_return done;
}

Task<Result<void>> Volume::stop_without_device() {
  co_await entrance_.gate().drain();
  co_await end_background();
  // It was saved with the volume, if it could be; now it only ends.
  co_await index_.save(IndexHolder::Saving::of_nothing);
  co_return Result<void>();
}

Task<void> Volume::end_background() {
  co_await savings_.wait();
  // Until now somebody may have waited for what the background does.
  life_.enter(VolumeLife::Stage::ending);
  // Each is told to end, and then waited for.
  packer_.stop();
  co_await maintenance_.end();
  co_await trimmer_.end();
  co_await packer_runs_.wait();
  co_await writes_.wait();
  co_await record_.wait();
  co_await data_writer_.wait_idle();
}

Error Volume::given_up_error() const {
  constexpr std::string_view kNext =
      "It is left as after a power cut (DIRTY): make room beneath it and start it again";
  // Where the journal was committed and no answered write has failed, nothing is lost but the CLEAN
  // mark.
  const std::size_t lost = in_flight_.lost_blocks();
  if (saver_.progress() != Saver::Progress::nothing && lost == 0) {
    return {Errc::no_space,
            fmt::format("the volume could not be saved, because there is no room beneath it; all "
                        "that was written to it is there. {}",
                        kNext)};
  }
  return {Errc::no_space,
          fmt::format("there was no room beneath the volume for what was written last: {} blocks "
                      "that clients were told are written are lost, and what else no flush has "
                      "covered may be; what flushes have covered is there. {}",
                      grouped(lost), kNext)};
}

void Volume::entered_read_only(const Error& reason) {
  if (kept_.phase() == KeptPhase::in_use) kept_.enter(KeptPhase::given_up);
  // Where there was no room in the end the volume is left as after a crash.
  if (!admission_.is_given_up()) {
    log_({LogLevel::error,
          fmt::format("unrecoverable error, entering read-only mode: {}", reason.message())});
    // The device of a suspended one is let alone; it is recorded when that is over.
    if (!suspension_.is_suspended()) record_.start();
  }
  // Who waits for what will not come any more looks again.
  ledger_.wake_waiters();
}

void Volume::check_invariants() const {
  ledger_.check_invariants();
  writes_.check_invariants();
  check(!suspension_.is_suspended() || gates_.hold.is_closed(),
        "something may reach the device of a suspended volume");
}

Pbn Volume::allocate_bin(std::uint32_t members) {
  SlabDepot& depot = ledger_.depot();
  // Each member was promised a block; one of these is taken (behaviour.md, 6).
  depot.unreserve(members - 1);
  return depot.allocate(1, true)->first;
}

}  // namespace uvdo
