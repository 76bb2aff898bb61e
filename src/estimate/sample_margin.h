// SPDX-License-Identifier: GPL-2.0-or-later
// How far off the guesses of a sample may be: pieces that were compressed are guessed as well, as
// if they had not been, and by what the guesses were off there is known.
#pragma once

#include <cstdint>

namespace uvdo {

class SampleMargin {
 public:
  /// A piece had so many blocks that were compressed and guessed; the guesses of them all were off
  /// by `error` blocks. Blocks of a piece are alike, and are off together.
  void add_piece(std::uint64_t blocks, double error);
  /// So many blocks were only guessed.
  void add_guessed(std::uint64_t blocks) { guessed_ += static_cast<double>(blocks); }
  void add(const SampleMargin& other);

  [[nodiscard]] std::uint64_t pieces() const { return pieces_; }
  /// Blocks, to both sides: half the interval that has the true sum in 95 of 100 samples.
  [[nodiscard]] double half_width() const;

 private:
  std::uint64_t pieces_ = 0;
  double compressed_ = 0;
  double guessed_ = 0;
  double squares_ = 0;
};

/// The quantile of Student's t-distribution that 95 of 100 are within, on both sides.
[[nodiscard]] double t_of_95_percent(std::uint64_t degrees);

}  // namespace uvdo
