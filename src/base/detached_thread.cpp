// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/detached_thread.h"

#include <csignal>
#include <memory>

#include <fmt/core.h>
#include <pthread.h>

namespace uvdo {
namespace {

constexpr std::size_t kStackBytes = 256U << 10U;

struct Start {
  const char* name;
  std::function<void()> body;
};

void* run(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  // Signals are the first thread's business.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  pthread_setname_np(pthread_self(), start->name);
  start->body();
  return nullptr;
}

}  // namespace

Result<void> start_detached_thread(const char* name, std::function<void()> body) {
  auto start = std::make_unique<Start>(Start{name, std::move(body)});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread{};
  const int error = pthread_create(&thread, &attributes, run, start.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) return errno_error(error, fmt::format("starting the thread {}", name));
  static_cast<void>(start.release());  // it is the thread's now
  return {};
}

}  // namespace uvdo
