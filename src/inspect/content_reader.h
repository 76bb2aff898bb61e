// SPDX-License-Identifier: GPL-2.0-or-later
// The logical device of a stopped volume from one block to another, in runs: what is unmapped is
// skipped over, however large it is, and neighbouring blocks are read together.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/block_types.h"
#include "base/result.h"
#include "inspect/volume_image.h"

namespace uvdo {

/// Neighbouring logical blocks of one kind.
struct ContentRun {
  enum class Kind : std::uint8_t {
    hole,     ///< unmapped, or a block of zeros
    data,     ///< `data` holds the blocks
    damaged,  ///< `problem` says why these blocks cannot be had
  };
  Lbn start;
  std::uint64_t blocks = 0;
  Kind kind = Kind::hole;
  ConstBytes data;  ///< valid until the next call
  std::string problem;
};

/// Memory: one run of data (1 MiB), one page, and the place of the next leaf of each tree. The
/// image must outlive it and may be asked for other things in between.
class ContentReader {
 public:
  /// Reads `count` blocks from `first`, as far as the logical device goes.
  ContentReader(VolumeImage& image, Lbn first, std::uint64_t count);

  /// The next run, in order; nothing at the end. Runs cover every block asked for exactly once.
  std::optional<ContentRun> next();

 private:
  /// Which tree has the nearest leaf: the pages of the device go round the 60 trees.
  void find_leaf();
  /// From at_ to `end` there is nothing; at_ moves on.
  ContentRun hole_until(Lbn end);
  /// The next run of the leaf that at_ lies in. It ends with the leaf at the latest.
  ContentRun from_leaf();

  static constexpr std::uint64_t kRunBlocks = 256;

  VolumeImage& image_;
  Lbn at_;
  Lbn end_;
  /// The next allocated leaf of each tree at or after at_.
  std::vector<std::optional<VolumeImage::LeafPlace>> upcoming_;
  std::optional<std::uint32_t> root_;  ///< whose upcoming leaf is the nearest
  PageNumber leaf_;
  bool leaf_loaded_ = false;
  bool leaf_empty_ = false;
  std::string leaf_problem_;
  PageView page_;
  std::vector<std::byte> buffer_;
};

}  // namespace uvdo
