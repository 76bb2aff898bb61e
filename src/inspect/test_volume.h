// SPDX-License-Identifier: GPL-2.0-or-later
// For tests and fuzzers only: a small CLEAN volume in memory, with plain, shared, zero and
// compressed blocks, made of the codecs alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "device/sparse_device.h"
#include "format/volume_layout.h"

namespace uvdo {

class TestVolume {
 public:
  /// Builds the volume: five slabs of 512 blocks, 4000 logical blocks.
  TestVolume();

  [[nodiscard]] const VolumeLayout& layout() const { return layout_; }
  /// The 4096 bytes at a physical block; they come to be when asked for.
  MutableBytes block(Pbn pbn);
  /// The blocks that hold metadata, which are worth damaging.
  [[nodiscard]] std::vector<Pbn> blocks() const;
  /// Writes the super block anew after a change of layout().super_block.
  void write_super_block(const SuperBlock& super);
  /// A copy, to be opened.
  [[nodiscard]] SparseImage image() const;
  [[nodiscard]] std::unique_ptr<SparseDevice> store() const {
    return std::make_unique<SparseDevice>(image());
  }

  static constexpr std::uint64_t kLogicalBlocks = 4000;
  /// What the logical blocks hold: the byte at each place is the same throughout a block.
  static constexpr std::uint64_t kPlain = 0;   ///< one block of 0x11
  static constexpr std::uint64_t kShared = 1;  ///< three blocks of 0x22, stored once
  static constexpr std::uint64_t kZero = 10;   ///< a mapped block of zeros
  static constexpr std::uint64_t kFragment =
      813;  ///< blocks of 0x33 and 0x44, compressed, in leaf 1

  /// Places of structures, for tests that damage them.
  Pbn leaf0;
  Pbn compressed;
  Pbn plain;

 private:
  Pbn allocate(std::uint8_t count);
  Pbn add_leaf(std::uint64_t page);

  VolumeLayout layout_;
  std::uint64_t size_ = 0;                                  // bytes
  std::map<std::uint64_t, std::vector<std::byte>> blocks_;  // those that are not zeros
  Sbn next_ = 0;
  std::vector<std::uint8_t> counts_;
  std::uint64_t tree_pages_ = 0;
};

}  // namespace uvdo
