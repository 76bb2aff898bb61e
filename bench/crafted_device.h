// SPDX-License-Identifier: GPL-2.0-or-later
// A crafted volume as a device in memory: every request completes at once. What was never written
// is computed. Metadata that are written stay; of the data only the latest are kept, so that one
// can write for long.
#pragma once

#include <vector>

#include "base/page_memory.h"
#include "crafted_volume.h"
#include "device/private_store.h"

namespace uvdo {

/// Blocks that a device has room for.
struct CraftedMemory {
  std::size_t metadata = 0;       ///< that are not data; they stay
  std::size_t metadata_soon = 0;  ///< as many of them are made present: page faults are no cost of
                                  ///< the engine
  std::size_t data = 0;           ///< only the last written ones are kept; all are made present
};

/// The memory is of three kinds: what was never written is computed; metadata have a place each,
/// for good; data share a ring of places, and what a newer block has displaced reads as it would if
/// it had never been written. Whoever verifies what it has written must not write more than the
/// ring holds.
class CraftedDevice final : public PrivateStore {
 public:
  /// The volume outlives the device.
  CraftedDevice(const CraftedVolume& volume, const CraftedMemory& memory);

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return volume_.device_bytes(); }
  [[nodiscard]] const std::string& name() const override { return name_; }

 private:
  // What places_ says of a block: nothing, or where it is kept.
  static constexpr std::uint32_t kData = 1U << 31U;

  void read(std::uint64_t block, std::byte* out) const;
  void write(std::uint64_t block, const std::byte* data);
  [[nodiscard]] bool is_kept(std::uint64_t block) const;
  /// A place for a block that has none: the next of the ring, or one more for metadata.
  std::uint32_t place_for(std::uint64_t block);
  [[nodiscard]] std::byte* memory_of(std::uint32_t place) const;

  const CraftedVolume& volume_;
  PageMemory place_memory_;  // a place for each block of the device, touched as they are written
  std::uint32_t* places_;
  PageMemory metadata_;
  std::uint32_t metadata_used_ = 1;  // place 0 means none
  PageMemory data_;
  std::vector<std::uint64_t> owners_;  // of the places for data
  std::uint32_t next_data_ = 0;
  std::string name_ = "memory";
};

}  // namespace uvdo
