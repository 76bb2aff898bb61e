// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/work_thread.h"

#include <csignal>
#include <future>
#include <system_error>

#include <pthread.h>
#include <sched.h>

namespace uvdo {
namespace {

/// Signals are the first thread's: as long as this lives, a thread that is made gets none.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

bool WorkThread::is_worthwhile() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // More processors than a cpu_set_t has bits are reported as an error.
  return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) > 1;
}

Result<std::unique_ptr<WorkThread>> WorkThread::start(UringLoop& home) {
  std::unique_ptr<WorkThread> work(new WorkThread(home));
  std::promise<Result<void>> started;
  try {
    const SignalsBlocked blocked;
    // The thread makes its loop itself: a ring belongs to the thread that has made it.
    work->thread_ = std::thread([&work = *work, &started] {
      pthread_setname_np(pthread_self(), "uvdo-work");
      auto loop = UringLoop::create();
      if (!loop) {
        started.set_value(std::move(loop).error());
        return;
      }
      work.loop_ = std::move(*loop);
      work.ended_ = std::make_unique<Event>(*work.loop_);
      work.loop_->run([](Event& ended, std::promise<Result<void>>& promise) -> Task<void> {
        promise.set_value({});
        co_await ended.wait();
      }(*work.ended_, started));
    });
  } catch (const std::system_error& error) {
    return errno_error(error.code().value(), "starting a thread");
  }
  auto done = started.get_future().get();
  if (!done) return std::move(done).error();
  return work;
}

WorkThread::~WorkThread() {
  // Its loop runs as long as its first task, which waits for this.
  if (ended_) call([this] { ended_->set(); });
  if (thread_.joinable()) thread_.join();
}

void WorkThread::call(const std::function<void()>& f) {
  // Outlives the coroutine's use of it: the value is the last that it touches.
  std::promise<void> done;
  spawn([](WorkThread& work, const std::function<void()>& what,
           std::promise<void>& finished) -> Task<void> {
    co_await work.enter();
    what();
    finished.set_value();
  }(*this, f, done));
  done.get_future().get();
}

}  // namespace uvdo
