// SPDX-License-Identifier: GPL-2.0-or-later
// The real executor: one thread's event loop over io_uring, for files, sockets, timers and signals.
// System calls are batched: what became ready is run to completion, then one io_uring_enter
// submits all that was asked for and fetches what has come back.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <vector>

#include <liburing.h>

#include "async/executor.h"
#include "async/task.h"
#include "base/check.h"
#include "base/result.h"
#include "base/ring_queue.h"

namespace uvdo {

class UringLoop final : public Executor {
 public:
  /// One operation under way in the kernel; lives in the frame of the coroutine that awaits it or
  /// inside a device request.
  struct Operation {
    int result = 0;  ///< as of the system call: a count, or a negative errno
    std::coroutine_handle<> waiter{};
    /// If set, called with this operation instead of resuming `waiter`.
    void (*complete)(Operation&) = nullptr;
  };

  /// Makes a loop; fails with a sentence if the kernel or a sandbox refuses io_uring.
  static Result<std::unique_ptr<UringLoop>> create(unsigned entries = 1024);
  ~UringLoop() override;

  void post(std::coroutine_handle<> handle) override { ready_.push_back(handle); }
  void post_late(std::coroutine_handle<> handle) override { late_.push_back(handle); }
  void post_behind(std::coroutine_handle<> handle) override { behind_.push_back(handle); }
  [[nodiscard]] TimePoint now() override;
  [[nodiscard]] std::uint64_t wall_clock_us() override;
  std::uint64_t random() override { return random_(); }

  /// From now on the loop looks out for more for some 30 us before it sleeps, as long as its last
  /// wait was as short: for a loop whose clients come back as soon as they have their answers.
  /// It needs a processor of its own.
  void stay_awake_between_requests() { stays_awake_ = true; }
  /// Runs `main` and everything it starts until `main` has ended.
  void run(Task<void> main);

  /// A coroutine on its way here from another thread; it stays in place until it is resumed.
  struct Arrival {
    std::coroutine_handle<> handle{};
    Arrival* next = nullptr;
  };
  /// Resumes arrival.handle in this loop, in the order of the calls; this and hold_if_asleep() are
  /// the only calls that other threads may make. Takes no lock; a system call only if the loop
  /// sleeps.
  void post_from_any_thread(Arrival& arrival);

  /// As long as it lives, the loop sleeps, and who has it, in another thread, does what only the
  /// loop's own thread may do otherwise: starts and resumes its coroutines, posts, arms timers; but
  /// asks for no I/O. In the end the loop wakes if there is something to do for it.
  class [[nodiscard]] Hold {
   public:
    Hold() = default;
    Hold(Hold&&) noexcept = default;
    Hold& operator=(Hold&&) = delete;
    ~Hold();
    explicit operator bool() const { return turn_.owns_lock(); }

   private:
    friend UringLoop;
    Hold(UringLoop& loop, std::unique_lock<std::mutex> turn)
        : loop_(&loop), first_timer_(loop.first_timer()), turn_(std::move(turn)) {}
    UringLoop* loop_ = nullptr;
    Timer* first_timer_ = nullptr;
    std::unique_lock<std::mutex> turn_;
  };
  /// Nothing if the loop does not sleep, or is about to wake. Any thread may call it.
  Hold hold_if_asleep();

  /// Queues `operation`: `prepare` fills the submission entry with an io_uring_prep_* function.
  /// Entries go to the kernel at the end of the turn.
  template <class Prepare>
  void submit(Operation& operation, Prepare&& prepare) {
    io_uring_sqe* sqe = next_entry();
    prepare(sqe);
    io_uring_sqe_set_data(sqe, &operation);
  }

  /// co_await loop.perform([&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, ...); }) -> result.
  template <class Prepare>
  auto perform(Prepare prepare_entry) {
    struct Awaiter : Operation {
      Awaiter(UringLoop& owner, Prepare&& prepare) : loop(owner), prepare_sqe(std::move(prepare)) {}
      UringLoop& loop;
      Prepare prepare_sqe;
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) {
        waiter = handle;
        loop.submit(*this, prepare_sqe);
      }
      [[nodiscard]] int await_resume() const noexcept { return result; }
    };
    return Awaiter(*this, std::move(prepare_entry));
  }

  /// Calls `f` each time before entries go to the kernel, for one who must be sure that nothing of
  /// them has become wrong since they were queued; with {} no longer.
  void before_submission(std::function<void()> f) {
    check(!f || !before_submission_, "a loop looks for one only before it submits");
    before_submission_ = std::move(f);
  }
  /// Entries that were queued and that the kernel does not have yet.
  [[nodiscard]] unsigned unsubmitted() const { return io_uring_sq_ready(&ring_); }

  /// Asks the kernel to give up `operation`; it still completes (usually with -ECANCELED).
  void cancel(Operation& operation);

  /// For tests: what hands entries to the kernel, in the place of io_uring_submit().
  void submit_by(int (*function)(io_uring*)) { submit_ = function; }

  /// System calls made so far, for the benchmarks.
  [[nodiscard]] std::uint64_t enter_calls() const { return enter_calls_; }
  /// The number of this turn: in each, what is ready runs, then the kernel is asked for more.
  [[nodiscard]] std::uint64_t turn() const { return turn_number_; }

 private:
  UringLoop();
  void arm(Timer& timer) override;
  void disarm(Timer& timer) override;
  Result<void> set_up(unsigned entries);
  [[nodiscard]] io_uring_sqe* next_entry();
  void about_to_submit() const {
    if (before_submission_) before_submission_();
  }
  [[nodiscard]] bool has_deferred_completions() const;
  void run_ready();
  void run_behind();
  void run_late();
  [[nodiscard]] bool has_ready() const { return next_ready_ < ready_.size(); }
  [[nodiscard]] bool has_work() const {
    return has_ready() || !late_.empty() || !behind_.empty() || !aside_.empty();
  }
  void run_due_timers();
  void submit_and_reap(bool may_block);
  int sleep();
  unsigned reap();
  struct Completion {
    std::uint64_t data = 0;
    int result = 0;
  };
  [[nodiscard]] Completion take_completion();
  void tell(const Completion& completion);
  void set_completions_aside();
  void note_entered(int result);
  void pause_for_kernel();
  void listen_for_wake();
  void take_arrivals();
  void wake();
  [[nodiscard]] Timer* first_timer() const { return timers_.empty() ? nullptr : timers_.front(); }
  [[nodiscard]] bool something_comes_soon();
  [[nodiscard]] bool fall_asleep();

  io_uring ring_{};
  bool ring_open_ = false;
  int (*submit_)(io_uring*) = io_uring_submit;
  std::function<void()> before_submission_;
  std::vector<Completion> aside_;  // taken off the ring, and not told yet
  Duration pause_{0};              // how long the kernel was last left alone, while it refuses
  std::vector<std::coroutine_handle<>> ready_;  // from next_ready_ on
  std::size_t next_ready_ = 0;
  std::vector<std::coroutine_handle<>> late_;
  std::vector<std::coroutine_handle<>> running_;  // of those that were late
  RingQueue<std::coroutine_handle<>> behind_;     // who gave way
  std::vector<Timer*> timers_;                    // a heap, the earliest first
  std::mt19937_64 random_;
  bool stop_ = false;
  bool listening_ = false;
  std::uint64_t enter_calls_ = 0;

  int wake_fd_ = -1;
  std::uint64_t wake_value_ = 0;
  Operation wake_operation_;
  std::atomic<Arrival*> arrivals_{nullptr};  // the latest first
  std::atomic<bool> asleep_{false};          // who sends something here must wake the loop
  TimePoint last_arrival_{};
  TimePoint idle_since_{};
  bool last_wait_was_short_ = false;
  bool stays_awake_ = false;
  std::uint64_t turn_number_ = 0;
  std::mutex turn_;  // the loop's thread has it, but for when it sleeps
};

}  // namespace uvdo
