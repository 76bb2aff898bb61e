// SPDX-License-Identifier: GPL-2.0-or-later
// Time and processor time that something takes, for benchmarks.
#pragma once

namespace uvdo {

/// What has gone by since it was made, in seconds.
class Stopwatch {
 public:
  Stopwatch();
  [[nodiscard]] double seconds() const;
  /// Processor time of all threads of the process, outside of the kernel and in it.
  [[nodiscard]] double user() const;
  [[nodiscard]] double system() const;
  [[nodiscard]] double processor() const { return user() + system(); }

 private:
  double user_;
  double system_;
  double start_;
};

}  // namespace uvdo
