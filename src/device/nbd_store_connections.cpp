// SPDX-License-Identifier: GPL-2.0-or-later
// The connections of an NbdStore: they break, are made anew, and what was not flushed is written
// again; and how all of that is waited for.
#include <algorithm>
#include <utility>

#include <fmt/core.h>
#include <poll.h>

#include "device/nbd_store_parts.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;

/// Between attempts to connect anew: from the first, twice as long each time, to the longest.
constexpr milliseconds kFirstReconnectPause{50};
constexpr milliseconds kLongestReconnectPause{2'000};

}  // namespace

std::vector<NbdClient*> NbdStore::all() const {
  std::vector<NbdClient*> found;
  for (const auto& each : connections_) found.push_back(each.get());
  return found;
}

/// Does what can be done without waiting.
void NbdStore::turn() {
  if (has_ended()) return;
  const auto now = Clock::now();
  switch (state_) {
    case State::up:
      send_waiting();
      collect();
      break;
    case State::draining:
    case State::replaying: collect(); break;
    case State::pausing:
      if (now >= next_attempt_ && !is_idle()) attempt();
      break;
    case State::connecting: look_at_attempt(); break;
    case State::ended: break;
  }
  if (state_ == State::replaying && replaying_ == 0) come_up();
  if (loop_ != nullptr) watch();
}

void NbdStore::send_waiting() {
  // Asked for each of them: the process may be stopped anywhere in between.
  while (!waiting_.empty() && !has_ended()) {
    NbdCommand& command = *waiting_.front();
    waiting_.pop_front();
    const auto least = std::ranges::min_element(connections_, {},
                                                [](const auto& each) { return each->under_way(); });
    if (!(*least)->send(command)) answered(command);
  }
}

void NbdStore::collect() {
  // Answers may lead to further commands, such as a flush.
  for (bool again = true; again;) {
    again = false;
    for (const auto& each : connections_) {
      for (NbdCommand* command : each->take_answered()) {
        last_sign_ = Clock::now();
        if (state_ == State::up) {
          broken_since_.reset();
          has_given_up_ = false;
        }
        answered(*command);
      }
    }
    if (state_ == State::draining) return drain();
    const auto gone = std::ranges::find_if(
        connections_, [](const auto& each) { return each->phase() != NbdClient::Phase::ready; });
    if (gone != connections_.end()) return break_off((*gone)->trouble());
    if (state_ == State::up && !waiting_.empty()) {
      send_waiting();
      again = true;
    }
  }
}

/// Sends nothing more: what another connection has under way, its server may carry out at any later
/// time, over what the next connections write.
void NbdStore::break_off(const std::string& why) {
  trouble_ = why.empty() ? "the server has ended the connection" : why;
  if (state_ == State::up) {
    if (!broken_since_) broken_since_ = Clock::now();
    pause_ = milliseconds{0};
  }
  state_ = State::draining;
  drain();
}

/// Closes the connections once nothing is waited for by any of them.
void NbdStore::drain() {
  for (const auto& each : connections_) {
    if (!each->is_waited_for()) forget_watch(*each);
  }
  if (std::ranges::any_of(connections_, [](const auto& each) { return each->is_waited_for(); })) {
    return;
  }
  take_back_unanswered();
  // One that was up is tried anew before anybody gives up.
  if (pause_.count() > 0) return attempt_failed(trouble_);
  close_all();
  state_ = State::pausing;
  pause_ = kFirstReconnectPause;
  next_attempt_ = Clock::now() + pause_;
}

/// Requests that were sent and not answered wait in the order in which they were sent, before those
/// that were not.
void NbdStore::take_back_unanswered() {
  std::vector<NbdCommand*> lost;
  for (const auto& each : connections_) {
    for (NbdCommand* command : each->take_unanswered()) {
      const Job& job = *static_cast<const Job*>(command->owner);
      if (job.purpose != Job::For::replay) lost.push_back(command);
    }
  }
  waiting_.insert(waiting_.begin(), lost.begin(), lost.end());
}

/// Nothing is waited for by any of them.
void NbdStore::close_all() {
  forget_watches();
  connections_.clear();
  replay_.clear();
  replaying_ = 0;
}

void NbdStore::attempt() {
  state_ = State::connecting;
  if (!broken_since_) broken_since_ = Clock::now();
  attempt_end_ = Clock::now() + kConnectPatience;
  const std::size_t wanted = export_.can_multi_conn ? kConnections : 1;
  while (connections_.size() < wanted) connections_.push_back(NbdClient::begin(name_));
  look_at_attempt();
}

void NbdStore::attempt_failed(const std::string& why) {
  trouble_ = why.empty() ? "the server has ended the connection" : why;
  close_all();
  state_ = State::pausing;
  const auto now = Clock::now();
  if (has_given_up_ || (broken_since_ && now - *broken_since_ >= patience_)) return give_up();
  pause_ = std::min(pause_ * 2, kLongestReconnectPause);
  next_attempt_ = now + pause_;
}

void NbdStore::give_up() {
  has_given_up_ = true;
  next_attempt_ = Clock::now();
  // Each command is here: nothing is under way.
  for (NbdCommand* command : std::exchange(waiting_, {})) {
    command->error = EIO;
    answered(*command);
  }
  // Their flush has failed, too, and was no command of a request.
  if (!waiting_.empty()) give_up();
}

/// Asked for before anything is sent, or goes on being sent.
bool NbdStore::has_ended() {
  if (state_ != State::ended && may_send_ && !may_send_()) end_for_good();
  return state_ == State::ended;
}

/// What waits to be sent by a connection goes with it.
void NbdStore::end_for_good() {
  take_back_unanswered();
  close_all();
  state_ = State::ended;
  give_up();
}

void NbdStore::look_at_attempt() {
  const bool is_over = Clock::now() >= attempt_end_;
  const auto phase_of = [](const auto& each) { return each->phase(); };
  const bool waits =
      std::ranges::find(connections_, NbdClient::Phase::connecting, phase_of) != connections_.end();
  if (waits && !is_over) return;
  std::string why = waits ? "the server does not answer" : "";
  std::erase_if(connections_, [&](const auto& each) {
    if (each->phase() == NbdClient::Phase::ready) return false;
    if (!each->trouble().empty()) why = each->trouble();
    forget_watch(*each);
    return true;
  });
  if (connections_.empty()) return attempt_failed(why);
  const NbdExportOffer found = connections_.front()->look();
  if (auto usable = check(found); !usable) return attempt_failed(usable.error().message());
  export_ = found;
  while (!export_.can_multi_conn && connections_.size() > 1) {
    forget_watch(*connections_.back());
    connections_.pop_back();
  }
  replay();
}

void NbdStore::replay() {
  state_ = State::replaying;
  replay_error_ = 0;
  unflushed_.for_each([this](const UnflushedWrites::Piece& piece) {
    auto job = std::make_unique<Job>();
    job->purpose = Job::For::replay;
    job->op = piece.data != nullptr ? Op::write : Op::write_zeroes;
    job->memory = piece.memory;
    cut(*job, piece.offset, piece.length, piece.data, Durability::cached);
    ++replaying_;
    replay_.push_back(std::move(job));
  });
  std::size_t next = 0;
  for (const auto& job : replay_) {
    for (NbdCommand& command : job->commands) {
      if (has_ended()) return;
      NbdClient& connection = *connections_[next++ % connections_.size()];
      if (!connection.send(command)) answered(command);
    }
  }
  collect();
}

void NbdStore::come_up() {
  replay_.clear();
  if (replay_error_ != 0) {
    return attempt_failed(
        errno_error(replay_error_, "what was not flushed cannot be written again").message());
  }
  state_ = State::up;
  trouble_.clear();
  send_waiting();
  collect();
}

std::optional<NbdStore::Clock::time_point> NbdStore::next_time() const {
  if (is_idle()) return std::nullopt;
  switch (state_) {
    // A server that is there has all the time it likes.
    case State::up:
    case State::draining:
    case State::replaying:
    case State::ended: return std::nullopt;
    case State::pausing: return next_attempt_;
    case State::connecting: return attempt_end_;
  }
  return std::nullopt;
}

// ---- waiting

/// Of who waits: until something has happened, and does what follows from it.
void NbdStore::wait() {
  milliseconds longest{1'000};
  if (const auto time = next_time()) {
    const auto left = std::chrono::ceil<milliseconds>(*time - Clock::now());
    longest = std::clamp(left, milliseconds{0}, longest);
  }
  wait_for(all(), longest);
  turn();
}

/// Sees to it that the loop comes back when there is something to do.
void NbdStore::watch() {
  if (is_idle()) {
    if (time_watch_ && time_watch_->self) loop_->cancel(*time_watch_);
    return;
  }
  for (const auto& each : connections_) {
    const bool is_wanted = each->is_waited_for() || state_ == State::connecting;
    if (!is_wanted || each->phase() == NbdClient::Phase::broken) continue;
    auto& one = watches_[each.get()];
    if (!one) {
      one = std::make_shared<Watch>();
      one->store = this;
      one->connection = each.get();
      one->complete = [](UringLoop::Operation& operation) {
        auto& done = static_cast<Watch&>(operation);
        const auto owner = std::exchange(done.self, nullptr);
        if (done.store != nullptr) done.store->on_event(done);
      };
    }
    watch(*one, *each);
  }
  watch_time();
}

void NbdStore::watch(Watch& one, NbdClient& connection) {
  const short events = connection.events();
  if (one.self) {
    // It is waited for something else than is needed: that ends, and comes here again.
    if (one.events != events) loop_->cancel(one);
    one.events = events;
    return;
  }
  one.events = events;
  one.self = watches_[&connection];
  loop_->submit(one, [&](io_uring_sqe* sqe) {
    io_uring_prep_poll_add(sqe, connection.fd(), static_cast<unsigned>(events));
  });
}

void NbdStore::watch_time() {
  const auto time = next_time();
  if (!time) return;
  if (!time_watch_) {
    time_watch_ = std::make_shared<Watch>();
    time_watch_->store = this;
    time_watch_->complete = [](UringLoop::Operation& operation) {
      auto& done = static_cast<Watch&>(operation);
      const auto owner = std::exchange(done.self, nullptr);
      if (done.store != nullptr) done.store->turn();
    };
  }
  if (time_watch_->self) {
    if (time_watch_->until > *time) loop_->cancel(*time_watch_);
    return;
  }
  using std::chrono::duration_cast;
  const auto left = std::max<Clock::duration>(*time - Clock::now(), milliseconds{1});
  const auto seconds = duration_cast<std::chrono::seconds>(left);
  time_watch_->time.tv_sec = seconds.count();
  time_watch_->time.tv_nsec = duration_cast<std::chrono::nanoseconds>(left - seconds).count();
  time_watch_->until = *time;
  time_watch_->self = time_watch_;
  loop_->submit(*time_watch_,
                [&](io_uring_sqe* sqe) { io_uring_prep_timeout(sqe, &time_watch_->time, 0, 0); });
}

void NbdStore::on_event(Watch& one) {
  if (has_ended()) return;
  NbdClient& connection = *one.connection;
  if (one.result > 0) connection.go_on(static_cast<short>(one.result));
  turn();
}

void NbdStore::forget_watch(NbdClient& connection) {
  const auto found = watches_.find(&connection);
  if (found == watches_.end()) return;
  found->second->store = nullptr;
  if (found->second->self) loop_->cancel(*found->second);
  watches_.erase(found);
}

void NbdStore::forget_watches() {
  for (const auto& each : connections_) forget_watch(*each);
  if (!time_watch_) return;
  time_watch_->store = nullptr;
  if (time_watch_->self) loop_->cancel(*time_watch_);
  time_watch_.reset();
}

}  // namespace uvdo
