// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/stopwatch.h"

#include <chrono>

#include <sys/resource.h>

namespace uvdo {
namespace {

double clock_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

rusage usage_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage;
}

}  // namespace

Stopwatch::Stopwatch()
    : user_(seconds_of(usage_now().ru_utime)),
      system_(seconds_of(usage_now().ru_stime)),
      start_(clock_now()) {}

double Stopwatch::seconds() const { return clock_now() - start_; }
double Stopwatch::user() const { return seconds_of(usage_now().ru_utime) - user_; }
double Stopwatch::system() const { return seconds_of(usage_now().ru_stime) - system_; }

}  // namespace uvdo
