// SPDX-License-Identifier: GPL-2.0-or-later
// Calls into the kernel that may block, made in a thread of their own while a coroutine waits: the
// loop goes on meanwhile, and may be the one that the call waits for.
//
// That is so where a call uses what this very process serves (a FUSE mount, a loop device on it). A
// killed process ends only when all of its threads have, and its descriptors are closed only then:
// a thread that waits for an answer of the process would wait for ever. So such a thread has
// descriptors of its own, and the one that is served by is none of them: with the rest of the
// process that is gone, and the kernel gives up what the thread waits for.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "async/uring_loop.h"
#include "base/detached_thread.h"
#include "base/file_descriptor.h"

namespace uvdo {

/// Of the thread that makes a call.
enum class Descriptors : std::uint8_t {
  shared,  ///< what the function opens is the process's
  /// The function has none of the process's, but for the standard ones; what it opens is closed
  /// with the thread.
  own,
};

namespace detail {

/// For the calling thread alone, all but the standard ones and `kept`. Where that is not allowed
/// it keeps them.
inline void give_up_descriptors(int kept) {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  const auto at = static_cast<unsigned>(kept);
  if (unshare(CLONE_FILES) != 0) return;
  if (at > kFirst) static_cast<void>(close_range(kFirst, at - 1, 0));
  static_cast<void>(close_range(at + 1, ~0U, 0));
}

}  // namespace detail

/// co_await call_blocking(loop, Descriptors::own, [&] { return mount.unmount(); }): `function`
/// returns a Result; an error, too, if there is no thread. It is waited for however long it takes.
/// What it refers to stays with the caller: GCC 12 destroys twice what an argument of an awaited
/// call owns.
template <class Function>
Task<std::invoke_result_t<Function>> call_blocking(UringLoop& loop, Descriptors descriptors,
                                                   Function function) {
  static_assert(std::is_trivially_copyable_v<Function>, "the function owns nothing");
  using Outcome = std::invoke_result_t<Function>;
  // The thread keeps this one in any case, unlike what another loop would be woken by.
  const FileDescriptor ended(eventfd(0, EFD_CLOEXEC));
  if (!ended) co_return Outcome(errno_error(errno, "making an eventfd"));
  std::optional<Outcome> outcome;
  std::atomic<bool> is_there = false;
  auto started = start_detached_thread("uvdo-call", [&, fd = ended.get()] {
    if (descriptors == Descriptors::own) detail::give_up_descriptors(fd);
    Outcome done = function();
    outcome.emplace(std::move(done));
    is_there.store(true, std::memory_order_release);
    // From here on the frame belongs to the loop's thread. The order is made by the ring, of which
    // ThreadSanitizer knows nothing: it would take a write() for a race with the close().
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = syscall(SYS_write, fd, &one, sizeof one);
  });
  if (!started) co_return Outcome(std::move(started).error());
  std::uint64_t count = 0;
  int got = 0;
  do {
    got = co_await loop.perform(
        [&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, ended.get(), &count, sizeof count, 0); });
  } while (got == -EINTR || got == -EAGAIN);
  check(is_there.load(std::memory_order_acquire), "a blocking call has ended");
  co_return std::move(*outcome);
}

}  // namespace uvdo
