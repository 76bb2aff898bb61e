// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/uring_loop.h"

#include <algorithm>
#include <cerrno>

#include <fmt/core.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

namespace uvdo {
namespace {

// The user data of entries whose completion nobody waits for.
constexpr std::uint64_t kNoOperation = 0;
/// While threads exchange work, the next piece is often but microseconds away, and waking a thread
/// that sleeps on another processor costs up to 60 us where this was measured.
constexpr Duration kPatience = std::chrono::microseconds(30);
/// A wait, the waking up included, that would rather have been spent awake: a client that sends one
/// request at a time comes back as soon as it has its answer.
constexpr Duration kShortWait = std::chrono::microseconds(60);
/// Coroutines that may be ready, and sleep, at once before memory is taken for more.
constexpr std::size_t kHandles = 16384;
constexpr std::size_t kTimers = 1024;
/// What to resume a coroutine counts for, whatever it does.
constexpr std::uint64_t kUnitsPerResumption = 10;
/// How often what became ready in a turn runs in the same one.
constexpr int kMostRounds = 16;
/// A kernel that cannot take entries is left alone so long, twice as long each time.
constexpr Duration kShortestPause = std::chrono::microseconds(50);
constexpr Duration kLongestPause = std::chrono::milliseconds(10);

/// Whether the kernel may take the same entries later: it has no memory, or completions to fetch.
bool is_passing(int error) {
  return error == EAGAIN || error == EBUSY || error == ENOMEM || error == EINTR || error == ETIME;
}

/// Tells the processor that its thread only waits.
void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// For a heap with the earliest in front.
bool later(const Timer* a, const Timer* b) { return a->deadline > b->deadline; }

}  // namespace

UringLoop::UringLoop() : random_(std::random_device{}()) {
  // So that requests find the memory there.
  for (auto* handles : {&ready_, &running_, &late_}) handles->reserve(kHandles);
  behind_.reserve(kHandles);
  timers_.reserve(kTimers);
}

Result<std::unique_ptr<UringLoop>> UringLoop::create(unsigned entries) {
  std::unique_ptr<UringLoop> loop(new UringLoop);
  if (auto made = loop->set_up(entries); !made) return std::move(made).error();
  return loop;
}

Result<void> UringLoop::set_up(unsigned entries) {
  // Newer kernels run completions only when asked, which spares interrupts; older ones refuse the
  // flags, so they are tried from the best to none.
  int error = -EINVAL;
  for (const unsigned flags :
       {unsigned{IORING_SETUP_SINGLE_ISSUER} | unsigned{IORING_SETUP_DEFER_TASKRUN} |
            unsigned{IORING_SETUP_TASKRUN_FLAG},
        unsigned{IORING_SETUP_COOP_TASKRUN} | unsigned{IORING_SETUP_TASKRUN_FLAG}, 0U}) {
    io_uring_params parameters{};
    // Requests stay under way over many turns: more answers than one turn submits.
    parameters.flags = flags | IORING_SETUP_CQSIZE;
    parameters.cq_entries = entries * 4;
    error = io_uring_queue_init_params(entries, &ring_, &parameters);
    if (error != -EINVAL) break;
  }
  if (error < 0) {
    return errno_error(-error,
                       "setting up io_uring (needs Linux 5.15 or later, and a sandbox or "
                       "kernel.io_uring_disabled that allows it)");
  }
  ring_open_ = true;
  aside_.reserve(ring_.cq.ring_entries);
  wake_fd_ = eventfd(0, EFD_CLOEXEC);
  if (wake_fd_ < 0) return errno_error(errno, "making an eventfd");
  wake_operation_.complete = [](Operation&) {};
  return {};
}

UringLoop::~UringLoop() {
  if (ring_open_) io_uring_queue_exit(&ring_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

TimePoint UringLoop::now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

std::uint64_t UringLoop::wall_clock_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

void UringLoop::arm(Timer& timer) {
  check(!timer.armed, "a timer is armed once");
  timer.armed = true;
  timers_.push_back(&timer);
  std::push_heap(timers_.begin(), timers_.end(), later);
}

void UringLoop::disarm(Timer& timer) {
  if (!timer.armed) return;
  timer.armed = false;
  timers_.erase(std::find(timers_.begin(), timers_.end(), &timer));
  std::make_heap(timers_.begin(), timers_.end(), later);
}

void UringLoop::run_due_timers() {
  if (timers_.empty()) return;
  const TimePoint time = now();
  while (!timers_.empty() && timers_.front()->deadline <= time) {
    std::pop_heap(timers_.begin(), timers_.end(), later);
    Timer* timer = timers_.back();
    timers_.pop_back();
    timer->armed = false;
    post(timer->waiter);
  }
}

/// A turn: timers, what other threads have sent, what is ready, who gave way, who waits for the end
/// of the turn, and then one call to the kernel for all that was queued. It sleeps there only if
/// nothing is left to do, and gives `turn_` away meanwhile, so that another thread may do a piece
/// of its work (Hold).
void UringLoop::run(Task<void> main) {
  const std::lock_guard turn(turn_);
  stop_ = false;
  if (!listening_) listen_for_wake();
  spawn([](UringLoop& loop, Task<void> task) -> Task<void> {
    co_await std::move(task);
    loop.stop_ = true;
  }(*this, std::move(main)));
  while (!stop_) {
    ++turn_number_;
    run_due_timers();
    take_arrivals();
    run_ready();
    run_behind();
    run_late();
    if (stop_) break;
    submit_and_reap(!has_work() && !something_comes_soon() && fall_asleep());
  }
}

/// Whatever was ready when the turn began runs, then what came up meanwhile, but no more than a
/// turn has room for: nothing of it can keep the loop from its I/O.
void UringLoop::run_ready() {
  begin_turn();
  for (int round = 0; round < kMostRounds && has_ready(); ++round) {
    const std::size_t end = ready_.size();
    while (next_ready_ < end && !is_turn_over()) {
      spend(kUnitsPerResumption);
      const std::coroutine_handle<> handle = ready_[next_ready_++];
      handle.resume();
    }
    if (next_ready_ < end) break;
  }
  if (!has_ready()) {
    ready_.clear();
    next_ready_ = 0;
  } else if (next_ready_ > ready_.size() / 2) {
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(next_ready_));
    next_ready_ = 0;
  }
}

/// Those who gave way have the same share again, however much is ready.
void UringLoop::run_behind() {
  begin_turn();
  for (std::size_t left = behind_.size(); left > 0 && !is_turn_over(); --left) {
    const std::coroutine_handle<> handle = behind_.front();
    behind_.pop_front();
    spend(kUnitsPerResumption);
    handle.resume();
  }
  begin_turn();
}

void UringLoop::run_late() {
  // Who waits for the end of a turn once more waits for that of the next one.
  if (late_.empty()) return;
  running_.swap(late_);
  for (const auto handle : running_) handle.resume();
  running_.clear();
}

/// A free entry of the submission ring; a full one is handed to the kernel first, in the midst of
/// the turn.
io_uring_sqe* UringLoop::next_entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    ++enter_calls_;
    about_to_submit();
    const int submitted = submit_(&ring_);
    note_entered(submitted);
    if (submitted <= 0 && submitted != -EINTR) {
      // It may refuse more entries until there is room for what they lead to.
      set_completions_aside();
      pause_for_kernel();
    }
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

/// An error that does not pass means that nothing will ever be read or written again.
void UringLoop::note_entered(int result) {
  if (result >= 0) {
    pause_ = Duration::zero();
  } else {
    check(is_passing(-result), "io_uring has failed");
  }
}

/// Who asks again and again at once would take the processor from those it waits for.
void UringLoop::pause_for_kernel() {
  pause_ = std::clamp(2 * pause_, kShortestPause, kLongestPause);
  const timespec time{0, static_cast<long>(pause_.count())};
  nanosleep(&time, nullptr);
}

void UringLoop::cancel(Operation& operation) {
  // The operation still completes: as cancelled, or as it went.
  io_uring_sqe* sqe = next_entry();
  io_uring_prep_cancel(sqe, &operation, 0);
  io_uring_sqe_set_data64(sqe, kNoOperation);
}

void UringLoop::submit_and_reap(bool may_block) {
  if (!may_block && io_uring_sq_ready(&ring_) == 0) {
    // Nothing to send: the kernel is only called if it says that it has completions to post.
    if (has_deferred_completions()) {
      ++enter_calls_;
      io_uring_get_events(&ring_);
    }
    reap();
    return;
  }
  ++enter_calls_;
  about_to_submit();
  int entered = 0;
  if (may_block) {
    entered = sleep();
  } else {
    entered = io_uring_submit_and_get_events(&ring_);
  }
  note_entered(entered);
  const bool is_refused = entered < 0 && entered != -EINTR && entered != -ETIME;
  if (reap() == 0 && is_refused && !has_ready() && behind_.empty()) pause_for_kernel();
}

/// Submits, and waits for a completion or the first timer.
int UringLoop::sleep() {
  const Timer* first = first_timer();
  // Whoever holds the loop may arm others; the deadline is read while it is still ours.
  const Duration left =
      first == nullptr ? Duration{0} : std::max(Duration{0}, first->deadline - now());
  turn_.unlock();
  int entered = 0;
  if (first == nullptr) {
    entered = io_uring_submit_and_wait(&ring_, 1);
  } else {
    __kernel_timespec timeout{};
    timeout.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    timeout.tv_nsec = (left % std::chrono::seconds(1)).count();
    io_uring_cqe* cqe = nullptr;
    entered = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  }
  turn_.lock();
  asleep_.store(false, std::memory_order_relaxed);
  last_wait_was_short_ = stays_awake_ && now() - idle_since_ < kShortWait;
  return entered;
}

bool UringLoop::has_deferred_completions() const {
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
          (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

unsigned UringLoop::reap() {
  unsigned count = 0;
  if (!aside_.empty()) {
    // Who is told may begin what sets others aside, behind these.
    for (; count < aside_.size(); ++count) tell(Completion(aside_[count]));
    aside_.clear();
  }
  // Each is taken off the ring before it is told, since that may take others off.
  for (unsigned left = io_uring_cq_ready(&ring_); left > 0 && io_uring_cq_ready(&ring_) > 0;
       --left) {
    tell(take_completion());
    ++count;
  }
  return count;
}

/// The oldest on the ring, which has one.
UringLoop::Completion UringLoop::take_completion() {
  const io_uring_cqe& entry = ring_.cq.cqes[*ring_.cq.khead & ring_.cq.ring_mask];
  const Completion taken{entry.user_data, entry.res};
  io_uring_cq_advance(&ring_, 1);
  return taken;
}

void UringLoop::tell(const Completion& completion) {
  // liburing's own timeout entries on old kernels carry LIBURING_UDATA_TIMEOUT.
  if (completion.data == kNoOperation || completion.data == LIBURING_UDATA_TIMEOUT) return;
  auto* operation = reinterpret_cast<Operation*>(static_cast<std::uintptr_t>(completion.data));
  operation->result = completion.result;
  if (operation == &wake_operation_) {
    listen_for_wake();
  } else if (operation->complete != nullptr) {
    operation->complete(*operation);
  } else {
    post(operation->waiter);
  }
}

/// Makes room on the ring in the midst of a turn; reap() tells of them.
void UringLoop::set_completions_aside() {
  if (has_deferred_completions()) {
    ++enter_calls_;
    io_uring_get_events(&ring_);
  }
  while (io_uring_cq_ready(&ring_) > 0) aside_.push_back(take_completion());
}

void UringLoop::listen_for_wake() {
  // One read is always under way: it begins anew after each wake.
  listening_ = true;
  submit(wake_operation_, [this](io_uring_sqe* sqe) {
    io_uring_prep_read(sqe, wake_fd_, &wake_value_, sizeof wake_value_, 0);
  });
}

// ---- arrivals from other threads

void UringLoop::post_from_any_thread(Arrival& arrival) {
  arrival.next = arrivals_.load(std::memory_order_relaxed);
  // In one order with `asleep_`: either this sees that the loop sleeps, or the loop sees this.
  while (!arrivals_.compare_exchange_weak(arrival.next, &arrival, std::memory_order_seq_cst,
                                          std::memory_order_relaxed)) {
  }
  wake();
}

void UringLoop::wake() {
  // One of those who come wakes it; it finds what all have brought.
  if (!asleep_.load(std::memory_order_seq_cst) || !asleep_.exchange(false)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(wake_fd_, &one, sizeof one);
}

// The loop looks at `asleep_` and at the arrivals in the opposite order (fall_asleep()): one of the
// two sees the other.
UringLoop::Hold UringLoop::hold_if_asleep() {
  if (!asleep_.load(std::memory_order_relaxed)) return {};
  std::unique_lock turn(turn_, std::try_to_lock);
  // What is on its way here comes first.
  if (!turn || !asleep_.load(std::memory_order_seq_cst) ||
      arrivals_.load(std::memory_order_relaxed) != nullptr) {
    return {};
  }
  return {*this, std::move(turn)};
}

UringLoop::Hold::~Hold() {
  if (!turn_) return;
  // What was done in its place may have made others ready, or armed an earlier timer.
  const bool has_work = loop_->has_work() || loop_->first_timer() != first_timer_;
  turn_.unlock();
  if (has_work) loop_->wake();
}

void UringLoop::take_arrivals() {
  if (arrivals_.load(std::memory_order_relaxed) == nullptr) return;
  Arrival* latest = arrivals_.exchange(nullptr, std::memory_order_acquire);
  const auto first = static_cast<std::ptrdiff_t>(ready_.size());
  // The list has the latest in front.
  for (; latest != nullptr; latest = latest->next) ready_.push_back(latest->handle);
  std::reverse(ready_.begin() + first, ready_.end());
  last_arrival_ = now();
}

/// Where threads have just exchanged work, or the last wait was short, looks for more for a moment
/// before the loop sleeps.
bool UringLoop::something_comes_soon() {
  idle_since_ = now();
  TimePoint end = last_arrival_ + kPatience;
  if (last_wait_was_short_) end = std::max(end, idle_since_ + kPatience);
  if (end <= idle_since_) return false;
  if (io_uring_sq_ready(&ring_) > 0) {
    ++enter_calls_;
    about_to_submit();
    io_uring_submit(&ring_);
  }
  do {
    if (arrivals_.load(std::memory_order_relaxed) != nullptr) return true;
    if (io_uring_cq_ready(&ring_) > 0 || has_deferred_completions()) return true;
    relax();
  } while (now() < end);
  idle_since_ = {};  // what was waited for in vain does not come soon the next time either
  return false;
}

/// Says that the loop sleeps from now on; false if something has arrived meanwhile.
bool UringLoop::fall_asleep() {
  asleep_.store(true, std::memory_order_seq_cst);
  if (arrivals_.load(std::memory_order_seq_cst) == nullptr) return true;
  asleep_.store(false, std::memory_order_relaxed);
  return false;
}

}  // namespace uvdo
