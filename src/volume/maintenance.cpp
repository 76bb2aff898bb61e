// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/maintenance.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

// An alarm wakes it before; if it wakes by itself it finds nothing to do and sleeps again.
constexpr Duration kForever = std::chrono::hours(1);

}  // namespace

void Maintenance::start(bool scrubs) {
  journal_.on_full([this] { request_write_back(); });
  depot_.on_write_back_needed([this] { request_write_back(); });
  map_.on_write_back_needed([this] { request_write_back(); });
  tasks_.start(commit_regularly());
  tasks_.start(write_back_regularly());
  if (scrubs) tasks_.start(scrub());
}

Task<void> Maintenance::end() {
  commit_alarm_.ring();
  write_back_alarm_.ring();
  co_await tasks_.wait();
}

void Maintenance::note_new_entries() {
  if (!commit_is_due_ || journal_.unwritten_blocks() >= kBlocksPerCommit) {
    commit_is_due_ = true;
    commit_alarm_.ring();
  }
}

void Maintenance::request_write_back() {
  write_back_is_due_ = true;
  write_back_alarm_.ring();
}

Task<void> Maintenance::commit_regularly() {
  while (!life_.is_ending()) {
    if (!commit_is_due_) co_await commit_alarm_.sleep(kForever);
    if (life_.is_ending()) break;
    if (!commit_is_due_) continue;
    // Entries of writes that come meanwhile share this commit; a full 64 blocks do not wait for
    // more.
    if (journal_.unwritten_blocks() < kBlocksPerCommit) {
      co_await commit_alarm_.sleep(commit_delay_);
    }
    commit_is_due_ = false;
    if (notifier_.is_read_only()) continue;
    auto done = co_await journal_.commit_all();
    if (done && needs_write_back()) request_write_back();
  }
}

bool Maintenance::needs_write_back() const {
  const auto oldest = map_.oldest_dirty();
  return (oldest && *oldest < map_.age_limit()) || map_.is_short_of_clean_pages() ||
         is_ring_pressed();
}

Task<void> Maintenance::write_back_regularly() {
  while (!life_.is_ending()) {
    if (!write_back_is_due_) co_await write_back_alarm_.sleep(kForever);
    if (life_.is_ending()) break;
    if (!std::exchange(write_back_is_due_, false) || notifier_.is_read_only()) continue;
    co_await write_back();
  }
}

Task<void> Maintenance::write_back() {
  const bool pressed = is_ring_pressed();
  const JournalSequence release =
      pressed ? journal_.durable_head() + (journal_.blocks_in_use() - journal_.usable_blocks() / 2)
              : JournalSequence{0};
  // A failure has made the volume read-only.
  auto done = co_await depot_.write_back(release);
  if (done) {
    const std::size_t at_least =
        map_.is_short_of_clean_pages() ? static_cast<std::size_t>(map_.cache_pages() / 8 + 1) : 0;
    done = co_await map_.write_back(std::max(release, map_.age_limit()), at_least);
  }
  // The room is given back at once, and not only at the next commit: writers may wait for it.
  if (done && pressed) done = co_await journal_.reap();
}

Task<void> Maintenance::scrub() {
  log_({LogLevel::notice,
        fmt::format("entering recovery mode: the counts of {} slabs are made out while the volume "
                    "is in use",
                    depot_.unscrubbed())});
  // Also while the volume is being stopped: saved half-way it would be in a state (RECOVERING)
  // after which a kernel that crashes does not replay its journal.
  while (depot_.unscrubbed() > 0 && !notifier_.is_read_only()) {
    auto done = co_await depot_.scrub_next();
    if (!done) notifier_.enter(std::move(done).error());
    co_await executor_.next_turn();
  }
  if (!notifier_.is_read_only()) log_({LogLevel::notice, "exiting recovery mode"});
}

}  // namespace uvdo
