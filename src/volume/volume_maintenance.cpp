// SPDX-License-Identifier: GPL-2.0-or-later
// What goes on behind the requests: regular commits, writing back of old pages and slab journals
// so that the recovery journal can go round, and the record of read-only mode.
#include <fmt/core.h>

#include "volume/volume.h"

namespace uvdo {
namespace {

constexpr Duration kForever = std::chrono::hours(1);
// Full journal blocks that are committed without waiting for the regular commit.
constexpr std::size_t kBlocksPerCommit = 64;

}  // namespace

void Volume::start_background() {
  journal_->on_full([this] { request_maintenance(); });
  depot_->on_write_back_needed([this] { request_maintenance(); });
  map_->on_write_back_needed([this] { request_maintenance(); });
  notifier_.on_enter([this](const Error& reason) { entered_read_only(reason); });
  background_.start(commit_regularly());
  background_.start(write_back_regularly());
  background_.start(packer_->run());
  if (is_recovering()) background_.start(scrub_in_background());
}

void Volume::note_new_entries() {
  if (!commit_planned_ || journal_->unwritten_blocks() >= kBlocksPerCommit) {
    commit_planned_ = true;
    commit_alarm_.ring();
  }
}

void Volume::request_maintenance() {
  maintenance_requested_ = true;
  write_back_alarm_.ring();
}

Task<void> Volume::commit_regularly() {
  while (!ending_) {
    if (!commit_planned_) co_await commit_alarm_.sleep(kForever);
    if (ending_) break;
    if (!commit_planned_) continue;
    if (journal_->unwritten_blocks() < kBlocksPerCommit) {
      co_await commit_alarm_.sleep(options_.commit_delay);
    }
    commit_planned_ = false;
    if (notifier_.is_read_only()) continue;
    auto done = co_await journal_->commit_all();
    if (!done) continue;
    const auto oldest = map_->oldest_dirty();
    if ((oldest && *oldest < map_->age_limit()) || map_->is_short_of_clean_pages() ||
        journal_->blocks_in_use() > journal_->usable_blocks() * 2 / 3) {
      request_maintenance();
    }
  }
}

Task<void> Volume::write_back_regularly() {
  while (!ending_) {
    if (!maintenance_requested_) co_await write_back_alarm_.sleep(kForever);
    if (ending_) break;
    if (!std::exchange(maintenance_requested_, false) || notifier_.is_read_only()) continue;
    // Above two thirds of the ring, what holds its oldest part is written.
    const std::uint64_t used = journal_->blocks_in_use();
    const std::uint64_t usable = journal_->usable_blocks();
    const bool pressed = used > usable * 2 / 3;
    const JournalSequence release =
        pressed ? journal_->durable_head() + (used - usable / 2) : JournalSequence{0};
    auto done = co_await depot_->write_back(release);
    if (done) {
      const std::size_t at_least = map_->is_short_of_clean_pages()
                                       ? static_cast<std::size_t>(map_->cache_pages() / 8 + 1)
                                       : 0;
      done = co_await map_->write_back(std::max(release, map_->age_limit()), at_least);
    }
    if (done && pressed) done = co_await journal_->reap();
  }
}

Task<void> Volume::drain_writes() {
  co_await finish_writes();
  co_await jobs_.wait();
  co_await packer_->drain();
}

void Volume::entered_read_only(const Error& reason) {
  // Where there was no room in the end the volume is left as after a crash.
  if (room_.state() != RoomGate::State::given_up) {
    log_({LogLevel::error,
          fmt::format("unrecoverable error, entering read-only mode: {}", reason.message())});
    jobs_.start(record_read_only());
  }
  // Who waits for what will not come any more looks again.
  depot_->wake_waiters();
  map_->wake_waiters();
  journal_->commits().wake_all();
}

Task<void> Volume::record_read_only() {
  if (suspended_) co_return;  // its device is let alone
  // Also behind a save that has just marked the volume clean.
  const auto record = [this](SuperBlock& next) -> Result<void> {
    next.state = VolumeState::read_only_mode;
    next.journal.journal_start = journal_->durable_head();
    next.journal.logical_blocks_used = journal_->logical_blocks_used();
    next.journal.block_map_blocks = journal_->block_map_blocks();
    return {};
  };
  auto done = co_await super_block_store_.change(record);
  // What it says does not rest on what the gate's last flush has lost.
  if (!done && gate_.has_failed()) {
    done = co_await super_block_store_.change_past(store_, record);
  }
  if (!done) {
    log_({LogLevel::error,
          fmt::format("read-only mode could not be recorded: {}", done.error().message())});
  }
}

// ---- blocks for the block map and the packer

Task<Result<Pbn>> Volume::allocate_page() { return allocate_unpromised(nullptr); }

Task<Result<void>> Volume::wait_for_room(Pbn pbn) {
  while (!journal_->has_room() || !depot_->has_room(pbn)) {
    if (notifier_.is_read_only()) co_return notifier_.error();
    if (!journal_->has_room()) {
      co_await journal_->wait_for_room();
    } else {
      co_await depot_->wait_for_room();
    }
  }
  co_return Result<void>();
}

Result<JournalPoint> Volume::commit_page(Pbn parent, unsigned slot, Pbn page) {
  const JournalPoint point =
      journal_->add({JournalOperation::block_map_remapping, parent,
                     static_cast<std::uint16_t>(slot), mapped_to(page), kUnmapped});
  auto counted = depot_->change(page, ReferenceOperation::block_map_increment, point);
  if (!counted) {
    notifier_.enter(counted.error());
    return std::move(counted).error();
  }
  return point;
}

Pbn Volume::allocate_bin(std::uint32_t members) {
  depot_->unreserve(members - 1);
  return depot_->allocate(1, true)->first;
}

}  // namespace uvdo
