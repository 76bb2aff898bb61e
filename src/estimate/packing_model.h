// SPDX-License-Identifier: GPL-2.0-or-later
// How many compressed blocks the packer would make of fragments: they wait, and share blocks, as
// there; but of each only size and name are kept.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/block_types.h"
#include "estimate/name_table.h"
#include "format/compressed_block.h"
#include "packer/size_set.h"

namespace uvdo {

/// What became of fragments of about one size.
struct PackedSizes {
  std::uint64_t fragments = 0;
  std::uint64_t alone = 0;  ///< that found no company, and so are stored as whole blocks
  double bins = 0;          ///< of the others: what they take of their bins, by their bytes

  /// Blocks that one of them takes, if `size` is theirs.
  [[nodiscard]] double blocks_each(std::size_t size) const {
    if (fragments == 0) return static_cast<double>(size) / static_cast<double>(kBlockSize);
    return (static_cast<double>(alone) + bins) / static_cast<double>(fragments);
  }
};

/// May be used by several threads at once.
class PackingModel {
 public:
  static constexpr std::size_t kBytesOfASize = 64;
  /// By size / kBytesOfASize.
  using Sizes = std::array<PackedSizes, kBlockSize / kBytesOfASize>;

  /// `names`, unless it is null, is told which bin each is in. `most_waiting`: as of Packer.
  PackingModel(NameTable* names, std::size_t most_waiting)
      : names_(names), most_waiting_(most_waiting) {}

  /// A fragment of 1 .. 4059 bytes comes.
  void add(const RecordName& name, std::size_t size);
  /// Somebody waits for a fragment that was of this size: if it is here still, it goes at once with
  /// those that fit best.
  void hurry(const RecordName& name, std::size_t size);
  /// All that waits goes.
  void flush();

  [[nodiscard]] std::uint64_t bins() const { return bins_; }
  /// Of the fragments that have left so far.
  [[nodiscard]] Sizes sizes();
  /// Fragments in bins, and the sum of their sizes.
  [[nodiscard]] std::uint64_t fragments() const { return fragments_; }
  [[nodiscard]] std::uint64_t fragment_bytes() const { return fragment_bytes_; }
  /// Fragments that found no company.
  [[nodiscard]] std::uint64_t alone() const { return alone_; }

 private:
  /// Makes a bin with the largest, or with the one at `place` among those of `first_size` bytes.
  void make_bin();
  void make_bin_with(std::size_t first_size, std::size_t first_place);
  /// Takes one of those that wait and have that size.
  RecordName take(std::size_t size, std::size_t place);

  NameTable* names_;
  std::size_t most_waiting_;
  std::mutex mutex_;
  SizeSet sizes_;
  std::array<std::vector<RecordName>, kBlockSize> waiting_;
  std::size_t waiting_count_ = 0;
  std::uint64_t bins_ = 0;
  std::uint64_t fragments_ = 0;
  std::uint64_t fragment_bytes_ = 0;
  std::uint64_t alone_ = 0;
  Sizes packed_;
};

}  // namespace uvdo
