// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/server_signals.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <sys/signalfd.h>

namespace uvdo {
namespace {

constexpr std::array kIgnored{SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU};
/// Besides SIGHUP and the real-time signals. Those of errors of the program (SIGSEGV, SIGABRT, ...)
/// end it as ever.
constexpr std::array kStopping{SIGTERM, SIGINT,  SIGQUIT,   SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM,
                               SIGPROF, SIGPOLL, SIGSTKFLT, SIGPWR,  SIGXCPU, SIGTRAP, SIGSYS};

sigset_t taken_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGHUP);
  for (const int number : kStopping) sigaddset(&signals, number);
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) sigaddset(&signals, number);
  return signals;
}

std::string name_of_signal(int number) {
  const char* name = sigabbrev_np(number);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

}  // namespace

void ServerSignals::hold() {
  for (const int number : kIgnored) std::signal(number, SIG_IGN);
  const sigset_t signals = taken_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

std::string ServerSignals::wait_without_loop(std::chrono::milliseconds longest) {
  const sigset_t signals = taken_signals();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(longest);
  const timespec most{seconds.count(), std::chrono::nanoseconds(longest - seconds).count()};
  const int number = sigtimedwait(&signals, nullptr, &most);
  return number > 0 && number != SIGHUP ? name_of_signal(number) : std::string();
}

Result<void> ServerSignals::start() {
  const sigset_t signals = taken_signals();
  fd_ = FileDescriptor(signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd_) return errno_error(errno, "preparing to take signals");
  readers_.start(read_signals());
  return {};
}

Task<void> ServerSignals::end() {
  ending_ = true;
  if (reading_ != nullptr) loop_.cancel(*reading_);
  co_await readers_.wait();
}

Task<void> ServerSignals::read_signals() {
  while (!ending_) {
    signalfd_siginfo info{};
    auto operation = loop_.perform([this, &info](io_uring_sqe* sqe) {
      io_uring_prep_read(sqe, fd_.get(), &info, sizeof info, 0);
    });
    reading_ = &operation;
    const int result = co_await operation;
    reading_ = nullptr;
    if (result == -EINTR || result == -EAGAIN) continue;
    // Cancelled by end(), or the descriptor is of no use: then only the control socket stops the
    // server.
    if (result != static_cast<int>(sizeof info)) break;
    if (info.ssi_signo == SIGHUP) {
      hangup_();
    } else if (!stopped_.is_set()) {
      reason_ = name_of_signal(static_cast<int>(info.ssi_signo));
      stopped_.set();
    }
  }
}

}  // namespace uvdo
