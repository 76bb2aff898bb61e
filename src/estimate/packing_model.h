// SPDX-License-Identifier: GPL-2.0-or-later
// How many compressed blocks the packer would make of fragments: they wait, and share blocks, as
// there; but of each only size and name are kept.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "estimate/name_table.h"
#include "format/compressed_block.h"
#include "packer/size_set.h"

namespace uvdo {

/// May be used by several threads at once.
class PackingModel {
 public:
  /// `names` is told which bin each is in. `most_waiting`: as of Packer.
  PackingModel(NameTable& names, std::size_t most_waiting)
      : names_(names), most_waiting_(most_waiting) {}

  /// A fragment of 1 .. 4059 bytes comes.
  void add(const RecordName& name, std::size_t size);
  /// Somebody waits for a fragment that was of this size: if it is here still, it goes at once with
  /// those that fit best.
  void hurry(const RecordName& name, std::size_t size);
  /// All that waits goes.
  void flush();

  [[nodiscard]] std::uint64_t bins() const { return bins_; }
  /// Fragments in bins, and the sum of their sizes.
  [[nodiscard]] std::uint64_t fragments() const { return fragments_; }
  [[nodiscard]] std::uint64_t fragment_bytes() const { return fragment_bytes_; }
  /// The sum of the squares of the sizes.
  [[nodiscard]] double fragment_squares() const { return fragment_squares_; }
  /// Fragments that found no company, and so are stored as whole blocks.
  [[nodiscard]] std::uint64_t alone() const { return alone_; }

 private:
  /// Makes a bin with the largest, or with the one at `place` among those of `first_size` bytes.
  void make_bin();
  void make_bin_with(std::size_t first_size, std::size_t first_place);
  /// Takes one of those that wait and have that size.
  RecordName take(std::size_t size, std::size_t place);

  NameTable& names_;
  std::size_t most_waiting_;
  std::mutex mutex_;
  SizeSet sizes_;
  std::array<std::vector<RecordName>, kBlockSize> waiting_;
  std::size_t waiting_count_ = 0;
  std::uint64_t bins_ = 0;
  std::uint64_t fragments_ = 0;
  std::uint64_t fragment_bytes_ = 0;
  double fragment_squares_ = 0;
  std::uint64_t alone_ = 0;
};

}  // namespace uvdo
