// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/nbd_store.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/core.h>
#include <poll.h>

#include "base/block_types.h"
#include "base/store_name.h"
#include "device/room_gate.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;

/// Connections where a server can do with several: more than one thread of it works for us then.
constexpr std::size_t kConnections = 4;
/// How long a server may take to be connected to.
constexpr milliseconds kConnectPatience{10'000};
/// Between attempts to connect anew: from the first, twice as long each time, to the longest.
constexpr milliseconds kFirstReconnectPause{50};
constexpr milliseconds kLongestReconnectPause{2'000};
/// Memory for what was written since the last flush.
constexpr std::uint64_t kMostUnflushed = std::uint64_t{32} << 20;
/// What one command discards or zeroes: less than the 32 bits that it has for it.
constexpr std::uint64_t kLongestRange = std::uint64_t{1} << 30;

/// What may be asked for by uvdo-wait: a year.
constexpr std::chrono::seconds kLongestWait{31'536'000};

std::optional<std::chrono::seconds> whole_seconds(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::chrono::seconds found{value};
  if (error != std::errc() || end != text.data() + text.size() || found > kLongestWait) return {};
  return found;
}

bool is_aligned(const Device::Request& request, std::uint64_t unit) {
  return request.offset % unit == 0 && request.length % unit == 0;
}

}  // namespace

/// A request with its commands; or a piece of what is written again, or a flush of the store's own.
struct NbdStore::Job {
  enum class For : std::uint8_t { request, own_flush, replay };
  For purpose = For::request;
  Op op{};
  Request* request = nullptr;  // of For::request
  std::vector<NbdCommand> commands;
  std::size_t unanswered = 0;
  int error = 0;
  std::shared_ptr<AlignedMemory> memory;  // what is read into, or written from, if need be
  std::uint64_t mark = 0;                 // of a flush: what it makes stable
  bool needs_flush = false;               // a write that must be stable, without FUA
  int lost_error = 0;                     // of a flush: an earlier one had failed
};

/// An operation of the loop that waits for a connection or for a time. It owns itself while the
/// kernel has it, and outlives who has forgotten it.
struct NbdStore::Watch : UringLoop::Operation {
  NbdStore* store = nullptr;  // none: nobody is interested any more
  NbdClient* connection = nullptr;
  short events = 0;
  __kernel_timespec time{};
  Clock::time_point until{};
  std::shared_ptr<Watch> self;  // while the kernel has it
};

// ---- opening

Result<std::unique_ptr<NbdStore>> NbdStore::open(UringLoop* loop, const std::string& uri,
                                                 OpenMode mode, milliseconds patience) {
  const auto place = NbdPlace::of(uri);
  if (!place) return Error(Errc::invalid_argument, fmt::format("{} is no NBD URI", uri));
  constexpr std::string_view kUnix = "unix:";
  if (place->server.starts_with(kUnix) && !place->server.substr(kUnix.size()).starts_with('/')) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} names no socket; give its whole path, as in "
                             "nbd+unix:///EXPORT?socket=/PATH",
                             uri));
  }
  if (!place->wait.empty()) {
    const auto seconds = whole_seconds(place->wait);
    if (!seconds) {
      return Error(Errc::invalid_argument,
                   fmt::format("{}: uvdo-wait={} is no number of seconds up to {}", uri,
                               place->wait, kLongestWait.count()));
    }
    patience = *seconds;
  }
  std::unique_ptr<NbdStore> store(new NbdStore(loop, uri, mode, patience));
  if (auto opened = store->reopen(); !opened) return std::move(opened).error();
  return store;
}

Result<std::size_t> NbdStore::peek(const std::string& uri, MutableBytes out) {
  NbdStore store(nullptr, uri, OpenMode::read_only, kConnectPatience);
  auto connections = store.connect_all(1);
  if (!connections) return std::move(connections).error();
  store.use(std::move(*connections));
  return store.read_beginning(out);
}

NbdStore::NbdStore(UringLoop* loop, std::string uri, OpenMode mode, milliseconds patience)
    : NetworkStore(std::move(uri), mode), loop_(loop), patience_(patience) {}

NbdStore::~NbdStore() { forget_watches(); }

Result<void> NbdStore::reopen() {
  if (auto locked = lock_.take(name_, mode_); !locked) return locked;
  auto connections = connect_all(kConnections);
  if (!connections) {
    lock_.give_back();
    return std::move(connections).error();
  }
  use(std::move(*connections));
  return {};
}

Result<void> NbdStore::check(const NbdExportOffer& found) const {
  if (mode_ == OpenMode::read_write && found.is_read_only) {
    return Error(Errc::read_only, fmt::format("{} is an export that may only be read", name_));
  }
  if (found.least_block > kBlockSize) {
    return Error(Errc::unsupported,
                 fmt::format("{} takes no less than {} bytes at a time, and a volume writes {}",
                             name_, found.least_block, kBlockSize));
  }
  if (found.size < size_) {
    return Error(Errc::io, fmt::format("{} has come back with {} bytes, and had {}", name_,
                                       found.size, size_));
  }
  const bool was_open = size_ > 0;
  return was_open ? check_is_as_able(found) : Result<void>();
}

/// What is under way was made for what the server could do before.
Result<void> NbdStore::check_is_as_able(const NbdExportOffer& found) const {
  const auto without = [&](std::string_view what) {
    return Error(Errc::io, fmt::format("{} has come back without {}", name_, what));
  };
  if (mode_ == OpenMode::read_write) {
    if (export_.can_flush && !found.can_flush) return without("flush");
    if (export_.can_fua && !found.can_fua) return without("FUA");
    if (export_.can_zero && !found.can_zero) return without("write zeroes");
    if (export_.can_trim && !found.can_trim) return without("trim");
  }
  if (found.longest_data < export_.longest_data) {
    return without(fmt::format("requests of {} bytes: it takes {} at most", export_.longest_data,
                               found.longest_data));
  }
  if (found.least_block > export_.least_block) {
    return without(fmt::format("requests of {} bytes: it takes {} at least", export_.least_block,
                               found.least_block));
  }
  return {};
}

Result<std::vector<std::unique_ptr<NbdClient>>> NbdStore::connect_all(std::size_t most) {
  std::vector<std::unique_ptr<NbdClient>> made;
  auto first = NbdClient::connect(name_, kConnectPatience);
  if (!first) return std::move(first).error();
  const NbdExportOffer found = (*first)->look();
  if (auto usable = check(found); !usable) return std::move(usable).error();
  made.push_back(std::move(*first));
  while (found.can_multi_conn && made.size() < most) {
    auto more = NbdClient::connect(name_, kConnectPatience);
    if (!more) break;  // a server may limit them
    made.push_back(std::move(*more));
  }
  return made;
}

void NbdStore::use(std::vector<std::unique_ptr<NbdClient>> connections) {
  forget_watches();
  connections_ = std::move(connections);
  export_ = connections_.front()->look();
  size_ = export_.size;
  state_ = State::up;
  broken_since_.reset();
  has_given_up_ = false;
  trouble_.clear();
  last_sign_ = Clock::now();
}

Result<std::uint64_t> NbdStore::look_up_size() {
  if (export_.can_multi_conn) {
    auto probe = NbdClient::connect(name_, kConnectPatience);
    if (!probe) return std::move(probe).error();
    const NbdExportOffer found = (*probe)->look();
    if (auto usable = check(found); !usable) return std::move(usable).error();
    if (found.size == size_) return size_;
  }
  // What is written by a connection that is closed may not be flushed by a new one.
  if (auto settled = settle(); !settled) return std::move(settled).error();
  // Without multi-conn the server may take one client, and answer a second one never.
  close_all();
  state_ = State::pausing;
  next_attempt_ = Clock::now();
  auto connections = connect_all(kConnections);
  if (!connections) return std::move(connections).error();
  use(std::move(*connections));
  return size_;
}

/// Waits until nothing is under way, and all is stable.
Result<void> NbdStore::settle() {
  const auto end = Clock::now() + kConnectPatience;
  const auto wait_until_idle = [&]() -> Result<void> {
    for (turn(); !is_idle(); wait()) {
      if (Clock::now() < end) continue;
      return Error(Errc::busy, fmt::format("{} does not answer: what is under way has not ended "
                                           "within {} seconds",
                                           name_, kConnectPatience.count() / 1000));
    }
    return {};
  };
  if (auto waited = wait_until_idle(); !waited) return waited;
  if (!export_.can_flush || unflushed_.empty()) return {};
  flush_by_itself();
  if (auto waited = wait_until_idle(); !waited) return waited;
  if (lost_error_ == 0 && unflushed_.empty()) return {};
  return errno_error(lost_error_, request_text(Op::flush, 0, 0, name_));
}

Result<void> NbdStore::extend(std::uint64_t size) {
  if (size_ >= size) return {};
  auto now = look_up_size();
  if (!now) return std::move(now).error();
  if (*now >= size) return {};
  return too_small(*now, size);
}

Result<void> NbdStore::release() {
  // A flush of the store's own may be left of a look at its size.
  if (!is_idle()) {
    if (auto settled = settle(); !settled) return settled;
  }
  close_all();
  unflushed_ = UnflushedWrites();
  lost_error_ = 0;
  lock_.give_back();
  size_ = 0;
  return {};
}

Result<BackingState> NbdStore::look() const {
  if (storages().empty()) return Error(Errc::busy, fmt::format("{} is not open", name_));
  BackingState state;
  state.size = size_;
  if (!is_idle()) {
    state.silent_for = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - last_sign_);
    state.trouble = trouble_;
  }
  return state;
}

// ---- requests

void NbdStore::submit(Request& request) {
  if (loop_ == nullptr && !is_aligned(request, export_.least_block)) {
    return carry_out_unaligned(request);
  }
  meter_.begin(request.op, request.length);
  start(request);
  if (loop_ != nullptr) return turn();
  turn();
  while (!request.done) wait();
}

/// Of who makes requests of any size: the blocks around it are read, and written if need be. They
/// are those of the server, of which an export has no part of one at its end.
void NbdStore::carry_out_unaligned(Request& request) {
  const std::uint64_t unit = export_.least_block;
  const std::uint64_t start = request.offset / unit * unit;
  const std::uint64_t end = (request.offset + request.length + unit - 1) / unit * unit;
  const AlignedMemory around = AlignedMemory::unset(end - start);
  const iovec whole{around.data(), around.size()};
  Request inner;
  inner.op = Op::read;
  inner.offset = start;
  inner.length = around.size();
  inner.slices = {&whole, 1};
  submit(inner);
  std::byte* at = around.data() + (request.offset - start);
  if (request.op == Op::write_zeroes) std::memset(at, 0, request.length);
  for (const iovec& slice : request.slices) {
    if (request.op == Op::read) {
      std::memcpy(slice.iov_base, at, slice.iov_len);
    } else {
      std::memcpy(at, slice.iov_base, slice.iov_len);
    }
    at += slice.iov_len;
  }
  if (request.changes() && request.op != Op::discard && inner.error == 0) {
    inner.op = Op::write;
    inner.durability = request.durability;
    inner.done = false;
    submit(inner);
  }
  request.error = inner.error;
  request.done = true;
}

NbdStore::Job& NbdStore::make_job(Op op) {
  // Nobody was waited for until here.
  if (is_idle()) last_sign_ = Clock::now();
  auto made = std::make_unique<Job>();
  Job& job = *made;
  job.op = op;
  jobs_.emplace(&job, std::move(made));
  return job;
}

void NbdStore::cut(Job& job, std::uint64_t offset, std::uint64_t length, std::byte* data,
                   Durability durability) {
  const bool has_data = job.op == Op::read || job.op == Op::write;
  const std::uint64_t most =
      has_data ? std::max(export_.longest_data / kBlockSize, std::uint64_t{1}) * kBlockSize
               : kLongestRange;
  do {
    const std::uint64_t now = std::min(length, most);
    NbdCommand command;
    command.op = job.op;
    command.durability = durability;
    command.offset = offset;
    command.length = now;
    command.data = data;
    command.owner = &job;
    job.commands.push_back(command);
    offset += now;
    length -= now;
    if (data != nullptr) data += now;
  } while (length > 0);
  job.unanswered = job.commands.size();
}

void NbdStore::start(Request& request) {
  Job& job = make_job(request.op);
  job.request = &request;
  const bool is_possible = (request.op != Op::discard || export_.can_trim) &&
                           (request.op != Op::write_zeroes || export_.can_zero);
  if (!is_possible) job.error = EOPNOTSUPP;
  if (request.changes() && mode_ == OpenMode::read_only) job.error = EROFS;
  if (request.op == Op::flush) {
    job.mark = unflushed_.mark();
    job.lost_error = lost_error_;
  }
  // By a server that knows no flush a write is stable when it is answered, as far as it can tell.
  const bool is_nothing = request.op == Op::flush && !export_.can_flush;
  if (is_nothing || job.error != 0) return answer(job);
  prepare(job, request);
  for (NbdCommand& command : job.commands) waiting_.push_back(&command);
}

/// Makes the commands of a request.
void NbdStore::prepare(Job& job, Request& request) {
  const bool is_stable = request.durability == Durability::fua;
  const bool is_fua = is_stable && export_.can_fua && request.op == Op::write;
  const Durability durability = is_fua ? Durability::fua : Durability::cached;
  job.needs_flush = is_stable && !is_fua && export_.can_flush;
  std::byte* data = nullptr;
  if (request.op == Op::read || request.op == Op::write) {
    // What is kept for later must be a copy: who writes has its buffers back with the answer.
    const bool is_kept =
        request.op == Op::write && export_.can_flush && durability == Durability::cached;
    if (request.slices.size() == 1 && !is_kept) {
      data = static_cast<std::byte*>(request.slices.front().iov_base);
    } else {
      job.memory = std::make_shared<AlignedMemory>(AlignedMemory::unset(request.length));
      data = job.memory->data();
    }
  }
  if (request.op == Op::write && job.memory) {
    std::byte* at = data;
    for (const iovec& slice : request.slices) {
      std::memcpy(at, slice.iov_base, slice.iov_len);
      at += slice.iov_len;
    }
  }
  cut(job, request.offset, request.length, data, durability);
}

void NbdStore::answered(NbdCommand& command) {
  Job& job = *static_cast<Job*>(command.owner);
  if (job.error == 0) job.error = command.error;
  if (--job.unanswered > 0) return;
  finish(job);
}

void NbdStore::finish(Job& job) {
  switch (job.purpose) {
    case Job::For::own_flush: return finish_own_flush(job);
    case Job::For::replay: {
      if (job.error != 0) replay_error_ = job.error;
      --replaying_;
      return;
    }
    case Job::For::request: break;
  }
  Request& request = *job.request;
  if (job.error != 0) return answer(job);
  switch (job.op) {
    case Op::read:
      if (job.memory) {
        const std::byte* at = job.memory->data();
        for (const iovec& slice : request.slices) {
          std::memcpy(slice.iov_base, at, slice.iov_len);
          at += slice.iov_len;
        }
      }
      return answer(job);
    case Op::flush:
      // It began after the last failure, which had else become its own.
      lost_error_ = 0;
      unflushed_.forget_up_to(job.mark);
      job.error = job.lost_error;
      return answer(job);
    case Op::discard: unflushed_.forget(request.offset, request.length); return answer(job);
    case Op::write:
    case Op::write_zeroes: return finish_write(job);
  }
}

void NbdStore::finish_write(Job& job) {
  const Request& request = *job.request;
  // What it has overwritten must not be written again.
  unflushed_.forget(request.offset, request.length);
  const bool is_stable = job.commands.front().durability == Durability::fua;
  // A write that was begun when the server had no flush has no copy.
  const bool is_kept = export_.can_flush && (job.op == Op::write_zeroes || job.memory);
  if (is_stable || !is_kept) return answer(job);
  unflushed_.add(request.offset, request.length, job.memory);
  job.mark = unflushed_.mark();
  if (job.needs_flush || unflushed_.held() > kMostUnflushed) {
    behind_flush_.push_back(&job);
    return flush_by_itself();
  }
  answer(job);
}

void NbdStore::flush_by_itself() {
  if (std::exchange(flushes_by_itself_, true)) return;
  Job& job = make_job(Op::flush);
  job.purpose = Job::For::own_flush;
  job.mark = unflushed_.mark();
  cut(job, 0, 0, nullptr, Durability::cached);
  waiting_.push_back(&job.commands.front());
}

void NbdStore::finish_own_flush(Job& job) {
  flushes_by_itself_ = false;
  const int error = job.error;
  if (error == 0) {
    unflushed_.forget_up_to(job.mark);
  } else {
    lost_error_ = error;
    // Nobody knows whether the server has dropped what they are for.
    for (auto& [other, owned] : jobs_) {
      const bool is_flush = other->purpose == Job::For::request && other->op == Op::flush;
      if (is_flush && other->error == 0) other->error = error;
    }
  }
  const std::uint64_t mark = job.mark;
  remove(job);
  // Those that came later and need it wait for the next one.
  std::vector<Job*> later;
  for (Job* write : std::exchange(behind_flush_, {})) {
    if (error == 0 && write->mark > mark) {
      later.push_back(write);
      continue;
    }
    write->error = error;
    answer(*write);
  }
  behind_flush_ = std::move(later);
  if (!behind_flush_.empty()) flush_by_itself();
}

void NbdStore::answer(Job& job) {
  Request& request = *job.request;
  request.error = job.error;
  if (job.error != 0 && job.error != EOPNOTSUPP) {
    meter_.fail(request.op, is_no_room(job.error));
    if (on_failure_) on_failure_({request.op, request.offset, request.length, job.error});
  }
  meter_.end();
  const auto waiter = request.waiter;
  remove(job);
  if (loop_ == nullptr) {
    request.done = true;
  } else if (waiter) {
    loop_->post(waiter);
  } else {
    request.done = true;  // inside submit()
  }
}

void NbdStore::remove(Job& job) { jobs_.erase(&job); }

// ---- connections

std::vector<NbdClient*> NbdStore::all() const {
  std::vector<NbdClient*> found;
  for (const auto& each : connections_) found.push_back(each.get());
  return found;
}

/// Does what can be done without waiting.
void NbdStore::turn() {
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
  }
  if (state_ == State::replaying && replaying_ == 0) come_up();
  if (loop_ != nullptr) watch();
}

void NbdStore::send_waiting() {
  while (!waiting_.empty()) {
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
  // In the order in which they were sent, before those that were not.
  std::vector<NbdCommand*> lost;
  for (const auto& each : connections_) {
    for (NbdCommand* command : each->take_unanswered()) {
      const Job& job = *static_cast<const Job*>(command->owner);
      if (job.purpose != Job::For::replay) lost.push_back(command);
    }
  }
  waiting_.insert(waiting_.begin(), lost.begin(), lost.end());
  // One that was up is tried anew before anybody gives up.
  if (pause_.count() > 0) return attempt_failed(trouble_);
  close_all();
  state_ = State::pausing;
  pause_ = kFirstReconnectPause;
  next_attempt_ = Clock::now() + pause_;
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
    case State::replaying: return std::nullopt;
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
