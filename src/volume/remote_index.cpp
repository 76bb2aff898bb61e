// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/remote_index.h"

namespace uvdo {

RemoteIndex::RemoteIndex(WorkThread& work, Executor& home, Device& device, IndexLog log)
    : work_(work),
      home_(home),
      device_(work, device),
      log_(std::move(log)),
      watchers_(work.executor()),
      messages_(home) {}

Result<std::unique_ptr<RemoteIndex>> RemoteIndex::start(WorkThread& work, Executor& home,
                                                        Device& device,
                                                        const UdsParameters& parameters,
                                                        IndexLog log) {
  std::unique_ptr<RemoteIndex> remote(new RemoteIndex(work, home, device, std::move(log)));
  Result<void> done;
  work.call([&] {
    auto index = UdsIndex::start(work.executor(), remote->device_, parameters,
                                 [&owner = *remote](std::string_view line) {
                                   owner.watchers_.start(owner.say_at_home(std::string(line)));
                                 });
    if (!index) {
      done = std::move(index).error();
      return;
    }
    remote->index_ = std::move(*index);
    remote->memory_needed_ = remote->index_->memory_needed();
    remote->publish();
    remote->watchers_.start(remote->watch_opening());
  });
  if (!done) return std::move(done).error();
  return remote;
}

RemoteIndex::~RemoteIndex() {
  work_.call([this] { index_.reset(); });
}

RemoteIndex::Snapshot RemoteIndex::snapshot() const {
  const std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

void RemoteIndex::publish() {
  const Snapshot now{index_->state(), index_->statistics(), index_->timeouts()};
  const std::lock_guard lock(snapshot_mutex_);
  snapshot_ = now;
}

Task<void> RemoteIndex::watch_opening() {
  co_await index_->wait_opened();
  publish();
}

Task<void> RemoteIndex::say_at_home(std::string line) {
  co_await work_.leave();
  log_(line);
  co_await work_.enter();
}

Task<void> RemoteIndex::lookup(std::span<IndexQuery> queries) {
  send_notes();  // arrives first: what was noted before is found
  co_await work_.enter();
  co_await index_->lookup(queries);
  publish();
  co_await work_.leave();
}

void RemoteIndex::record(const IndexQuery& query, const IndexData& data) {
  notes_.queries.push_back(query);
  notes_.data.push_back(data);
  if (!std::exchange(sends_at_turn_end_, true)) messages_.start(send_at_turn_end());
}

Task<void> RemoteIndex::send_at_turn_end() {
  co_await home_.turn_end();
  sends_at_turn_end_ = false;
  send_notes();
}

void RemoteIndex::send_notes() {
  if (notes_.queries.empty()) return;
  Notes next;
  if (!spare_.empty()) {
    next = std::move(spare_.back());
    spare_.pop_back();
  }
  std::swap(next, notes_);
  messages_.start(send(std::move(next)));
}

Task<void> RemoteIndex::send(Notes notes) {
  co_await work_.enter();
  notes.notes.clear();
  for (std::size_t i = 0; i < notes.queries.size(); ++i) {
    notes.notes.push_back({&notes.queries[i], notes.data[i]});
  }
  index_->record_all(notes.notes);
  publish();
  co_await work_.leave();
  notes.queries.clear();
  notes.data.clear();
  spare_.push_back(std::move(notes));
}

void RemoteIndex::set_enabled(bool enabled) { messages_.start(switch_index(enabled)); }

Task<void> RemoteIndex::switch_index(bool enabled) {
  co_await work_.enter();
  index_->set_enabled(enabled);
  publish();
  co_await work_.leave();
}

Task<Result<void>> RemoteIndex::checkpoint() {
  send_notes();
  co_await work_.enter();
  auto saved = co_await index_->checkpoint();
  publish();
  co_await work_.leave();
  co_return saved;
}

Result<void> RemoteIndex::reopen() {
  Result<void> begun;
  work_.call([this, &begun] {
    begun = index_->reopen();
    publish();
    if (begun) watchers_.start(watch_opening());
  });
  return begun;
}

Task<Result<void>> RemoteIndex::create_anew() {
  send_notes();
  co_await work_.enter();
  auto created = co_await index_->create_anew();
  publish();
  co_await work_.leave();
  co_return created;
}

Task<Result<void>> RemoteIndex::save() {
  send_notes();
  co_await messages_.wait();
  co_await work_.enter();
  auto saved = co_await index_->save();
  co_await watchers_.wait();
  publish();
  co_await work_.leave();
  co_return saved;
}

}  // namespace uvdo
