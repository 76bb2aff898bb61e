// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/remote_index.h"

#include <algorithm>

namespace uvdo {
namespace {

/// Lookups are looked over for late ones not more often than that (index.md, 15).
constexpr Duration kWatchInterval = std::chrono::milliseconds(100);
/// The index itself gives up nothing: that would be counted twice.
constexpr Duration kNoTimeout = std::chrono::hours(24);
/// Names to be noted that may be under way; one more is dropped.
constexpr std::size_t kMostNotes = 65536;
/// So many of them travel together.
constexpr std::size_t kNotesTogether = 256;
/// Names of a lookup, and lookups and travelling notes, before memory is taken for more.
constexpr std::size_t kNamesOfLookup = 32;
constexpr std::size_t kLookups = 256;
constexpr std::size_t kTravels = 32;
/// So many are no reason to wake the thread.
constexpr std::size_t kFewNames = 8;

}  // namespace

RemoteIndex::RemoteIndex(WorkThread& work, Executor& home, Device& device, Duration lookup_timeout,
                         LogFunction log)
    : work_(work),
      home_(home),
      device_(work, device),
      lookup_timeout_(lookup_timeout),
      log_(std::move(log)),
      watchers_(work.executor()),
      messages_(home),
      watch_alarm_(home) {
  asked_.reserve(kLookups);
  spare_asked_.reserve(kLookups);
  while (asked_.size() < kLookups) add_asked();
  // As many travels as all notes that may be under way can make, but memory for a few only.
  spare_notes_.reserve(kMostNotes / kNotesTogether);
  while (spare_notes_.size() < kTravels) spare_notes_.push_back(make_notes());
  notes_ = make_notes();
}

Result<std::unique_ptr<RemoteIndex>> RemoteIndex::start(WorkThread& work, Executor& home,
                                                        Device& device,
                                                        const UdsParameters& parameters,
                                                        LogFunction log) {
  std::unique_ptr<RemoteIndex> remote(
      new RemoteIndex(work, home, device, parameters.lookup_timeout, std::move(log)));
  // Time limits are watched at home, where the clients are.
  UdsParameters patient = parameters;
  patient.lookup_timeout = kNoTimeout;
  Result<void> done;
  work.call([&] {
    auto index = UdsIndex::start(work.executor(), remote->device_, patient,
                                 [&owner = *remote](LogLine line) {
                                   if (owner.index_)
                                     owner.publish();  // a change of the state comes with a line
                                   owner.watchers_.start(owner.say_at_home(std::move(line)));
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

// ---- figures

void RemoteIndex::publish() {
  const IndexStatistics s = index_->statistics();
  const std::array<std::uint64_t, kFigures> figures{
      s.entries_indexed,   s.posts_found,       s.posts_not_found,
      s.queries_found,     s.queries_not_found, s.updates_found,
      s.updates_not_found, s.entries_discarded, index_->dropped_records()};
  for (std::size_t i = 0; i < kFigures; ++i) {
    figures_[i].store(figures[i], std::memory_order_relaxed);
  }
  // After the figures, so that who sees the new state sees figures that are as new.
  state_.store(index_->state(), std::memory_order_release);
}

IndexState RemoteIndex::state() const {
  const IndexState state = state_.load(std::memory_order_acquire);
  if (state != IndexState::online) return state;
  // From the moment when it is to be saved nothing more is asked: who waits for what is under way
  // would wait as long as clients go on.
  if (is_saving_) return IndexState::closing;
  return enabled_ ? state : IndexState::offline;
}

IndexStatistics RemoteIndex::statistics() const {
  const auto figure = [this](std::size_t i) { return figures_[i].load(std::memory_order_relaxed); };
  return {figure(0), figure(1), figure(2), figure(3), figure(4), figure(5), figure(6), figure(7)};
}

std::uint64_t RemoteIndex::dropped_records() const {
  return dropped_here_ + figures_[kFigures - 1].load(std::memory_order_relaxed);
}

std::uint64_t RemoteIndex::memory_needed() const {
  return memory_needed_ + kMostNotes * (sizeof(IndexQuery) + sizeof(IndexData) + sizeof(IndexNote));
}

Task<void> RemoteIndex::watch_opening() {
  co_await index_->wait_opened();
  publish();
}

Task<void> RemoteIndex::say_at_home(LogLine line) {
  co_await work_.leave();
  log_(std::move(line));
  co_await work_.enter();
}

// ---- lookups

void RemoteIndex::add_asked() {
  asked_.push_back(std::make_unique<Asked>());
  asked_.back()->queries.reserve(kNamesOfLookup);
  spare_asked_.push_back(asked_.back().get());
}

RemoteIndex::Asked& RemoteIndex::take_asked(std::span<IndexQuery> queries) {
  if (spare_asked_.empty()) add_asked();
  Asked& asked = *spare_asked_.back();
  spare_asked_.pop_back();
  // A copy: the caller's may be gone when a late answer comes.
  asked.queries.assign(queries.begin(), queries.end());
  asked.answers = queries.data();
  asked.waiter = {};
  asked.is_here = false;
  asked.asked_at = home_.now();
  return asked;
}

Task<void> RemoteIndex::lookup(std::span<IndexQuery> queries) {
  for (IndexQuery& query : queries) {
    query.found = false;
    query.ticket = 0;
  }
  if (state() != IndexState::online || queries.empty()) co_return;
  send_notes();  // arrives first: what was noted before is found
  Asked& asked = take_asked(queries);
  ++waiting_;
  if (const UringLoop::Hold hold = hold_for(queries.size())) {
    asked.is_here = true;
    messages_.start(ask(asked));
    // Answered without having waited for anything.
    if (asked.answers == nullptr) co_return;
    asked.is_here = false;  // it waits for a page, and goes on in the thread
  } else {
    messages_.start(ask(asked));
  }
  // One watcher for all, as long as any is waited for.
  if (!std::exchange(is_watching_, true)) messages_.start(watch_lookups());
  struct Wait {
    Asked& asked;
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const noexcept { asked.waiter = handle; }
    static void await_resume() noexcept {}
  };
  co_await Wait{asked};
}

Task<void> RemoteIndex::ask(Asked& asked) {
  ++away_;
  if (!asked.is_here) co_await work_.enter();
  co_await index_->lookup(asked.queries);
  publish();
  if (!asked.is_here) co_await work_.leave();
  --away_;
  // Otherwise it was given up, and nobody wants it.
  if (asked.answers != nullptr) answer(asked);
  spare_asked_.push_back(&asked);
}

/// For doing at home, in the place of the thread, what concerns so many names. Nothing if they are
/// too many, or if they would overtake others.
UringLoop::Hold RemoteIndex::hold_for(std::size_t names) {
  // What is under way to the thread was asked before, and a note must not come after a later
  // lookup.
  if (names > kFewNames || away_ > 0) return {};
  return work_.hold_if_asleep();
}

void RemoteIndex::answer(Asked& asked) {
  std::copy(asked.queries.begin(), asked.queries.end(), asked.answers);
  asked.answers = nullptr;
  if (--waiting_ == 0 && is_saving_) watch_alarm_.ring();
  if (asked.waiter) home_.post(asked.waiter);
}

/// Gives up lookups that take too long, as long as somebody waits for any.
Task<void> RemoteIndex::watch_lookups() {
  while (waiting_ > 0) {
    TimePoint first = home_.now();
    for (const auto& asked : asked_) {
      if (asked->answers != nullptr) first = std::min(first, asked->asked_at);
    }
    const Duration left = first + lookup_timeout_ - home_.now();
    co_await watch_alarm_.sleep(std::max(left, kWatchInterval));
    const TimePoint now = home_.now();
    for (const auto& asked : asked_) {
      if (asked->answers != nullptr && now - asked->asked_at >= lookup_timeout_) give_up(*asked);
    }
  }
  is_watching_ = false;
}

void RemoteIndex::give_up(Asked& asked) {
  // The queries say "not found", as lookup() has set them; the Asked comes back with the answer.
  timeouts_ += asked.queries.size();
  asked.answers = nullptr;
  --waiting_;
  home_.post(asked.waiter);
}

// ---- records

RemoteIndex::Notes RemoteIndex::make_notes() {
  Notes notes;
  notes.queries.reserve(kNotesTogether);
  notes.data.reserve(kNotesTogether);
  notes.notes.reserve(kNotesTogether);
  return notes;
}

void RemoteIndex::record(const IndexQuery& query, const IndexData& data) {
  if (state() != IndexState::online) return;
  // The thread does not keep up: a name that is not noted costs deduplication, a client that waits
  // more.
  if (notes_under_way_ == kMostNotes) {
    ++dropped_here_;
    return;
  }
  ++notes_under_way_;
  notes_.queries.push_back(query);
  notes_.data.push_back(data);
  if (notes_.queries.size() == kNotesTogether) {
    send_notes();
  } else if (!std::exchange(sends_at_turn_end_, true)) {
    messages_.start(send_at_turn_end());
  }
}

Task<void> RemoteIndex::send_at_turn_end() {
  co_await home_.turn_end();
  sends_at_turn_end_ = false;
  send_notes();
}

void RemoteIndex::send_notes() {
  if (notes_.queries.empty()) return;
  // Few, and nothing under way: noted here and now.
  if (const UringLoop::Hold hold = hold_for(notes_.queries.size())) {
    note_all(notes_);
    forget(notes_);
    return;
  }
  if (spare_notes_.empty()) spare_notes_.push_back(make_notes());
  Notes next = std::move(spare_notes_.back());
  spare_notes_.pop_back();
  std::swap(next, notes_);
  messages_.start(send(std::move(next)));
}

Task<void> RemoteIndex::send(Notes notes) {
  ++away_;
  co_await work_.enter();
  note_all(notes);
  co_await work_.leave();
  --away_;
  forget(notes);
  spare_notes_.push_back(std::move(notes));
}

/// In the thread, or in its place.
void RemoteIndex::note_all(Notes& notes) {
  notes.notes.clear();
  for (std::size_t i = 0; i < notes.queries.size(); ++i) {
    notes.notes.push_back({&notes.queries[i], notes.data[i]});
  }
  index_->record_all(notes.notes);
  publish();
}

void RemoteIndex::forget(Notes& notes) {
  notes_under_way_ -= notes.queries.size();
  notes.queries.clear();
  notes.data.clear();
}

// ---- saving

Task<Result<void>> RemoteIndex::save() {
  send_notes();
  is_saving_ = true;
  watch_alarm_.ring();
  // All lookups and notes are back: the index may be closed.
  co_await messages_.wait();
  co_await work_.enter();
  auto saved = co_await index_->save();
  co_await watchers_.wait();
  publish();
  co_await work_.leave();
  is_saving_ = false;
  co_return saved;
}

/// The index says suspended by itself meanwhile; what is asked of it then is not found.
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

}  // namespace uvdo
