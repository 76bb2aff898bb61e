// SPDX-License-Identifier: GPL-2.0-or-later
// Calls into the kernel that may block, made in a thread of their own while a coroutine waits: the
// loop goes on meanwhile, and may be the one that the call waits for.
//
// That is so where a call uses what this very process serves (a FUSE mount, a loop device on it). A
// killed process ends only when all of its threads have, and its descriptors are closed only then:
// a thread that waits for an answer of the process would wait for ever. So the thread has
// descriptors of its own, without the one that is served by: with the rest of the process that is
// gone, and the kernel gives up what the thread waits for.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include <sched.h>
#include <unistd.h>

#include "async/uring_loop.h"
#include "base/detached_thread.h"

namespace uvdo {

/// co_await call_blocking(loop, -1, [] { return umount(...); }): `function` returns a Result; an
/// error, too, if there is no thread. `serving`: the descriptor that the thread gives up; what
/// `function` opens then is the thread's, and closed with it. -1: descriptors are shared as usual.
/// The call is waited for however long it takes. What `function` refers to stays with the caller:
/// GCC 12 destroys twice what an argument of an awaited call owns.
template <class Function>
Task<std::invoke_result_t<Function>> call_blocking(UringLoop& loop, int serving,
                                                   Function function) {
  static_assert(std::is_trivially_copyable_v<Function>, "the function owns nothing");
  using Outcome = std::invoke_result_t<Function>;
  struct Call : UringLoop::Arrival {
    Call(UringLoop& home, int given_up, Function& what)
        : loop(home), serving(given_up), function(what) {}
    UringLoop& loop;
    int serving;
    Function& function;
    std::optional<Outcome> outcome{};

    static bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> waiter) {
      handle = waiter;
      auto started = start_detached_thread("uvdo-call", [this] { run(); });
      if (started) return true;  // whatever the thread has done meanwhile: it posts
      outcome.emplace(std::move(started).error());
      return false;
    }
    Outcome await_resume() { return std::move(*outcome); }

    void run() {
      // Where that is not allowed the call is made all the same.
      if (serving >= 0 && unshare(CLONE_FILES) == 0) close(serving);
      Outcome done = function();
      outcome.emplace(std::move(done));
      loop.post_from_any_thread(*this);  // from here on the frame belongs to the loop's thread
    }
  };
  Call call(loop, serving, function);
  Outcome outcome = co_await call;
  co_return outcome;
}

}  // namespace uvdo
