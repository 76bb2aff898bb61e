// SPDX-License-Identifier: GPL-2.0-or-later
// A new volume to be measured: in memory, or on a file or block device whose content is lost.
#pragma once

#include <memory>
#include <string>

#include "async/work_thread.h"
#include "base/memory_file.h"
#include "device/memory_device.h"
#include "format/volume_layout.h"
#include "volume/volume.h"

namespace uvdo {

/// Where the volume is to be, and how large. A device keeps its own size.
struct ScratchRequest {
  std::string path;  ///< a directory, for a file that is removed again; a block device; or nothing
  std::uint64_t device_bytes = 12ULL << 30U;
  std::uint64_t logical_bytes = 8ULL << 30U;
  std::uint64_t data_bytes = 0;  ///< what will be written, to make memory ready for it
  VolumeOptions options;
};

/// make_device(), make_volume(), stop(); a file of its own is removed at the end, whatever has
/// failed in between. A work thread is started where the server would start one, so that figures
/// are those of a server.
class ScratchVolume {
 public:
  ScratchVolume(UringLoop& loop, ScratchRequest request)
      : loop_(loop), request_(std::move(request)) {}
  ScratchVolume(const ScratchVolume&) = delete;
  ScratchVolume& operator=(const ScratchVolume&) = delete;
  ~ScratchVolume();

  /// Makes the device. Errors of the file system, in words.
  Result<void> make_device();
  /// Formats the device and opens the volume; its index is online afterwards.
  Task<Result<void>> make_volume();
  /// Stops the volume.
  Task<Result<void>> stop();

  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] Volume& volume() { return *volume_; }
  /// The volume's index, to be filled for a test; nullptr if it has none.
  [[nodiscard]] DedupeIndex* index() { return index_; }

 private:
  Result<void> make_scratch_file();
  void make_memory_present(const VolumeLayout& layout);

  UringLoop& loop_;
  ScratchRequest request_;
  std::string scratch_file_;
  MemoryDevice* memory_ = nullptr;
  std::unique_ptr<BackingStore> device_;
  std::unique_ptr<WorkThread> work_;
  MemoryFile kept_;  // as a server has it
  std::unique_ptr<Volume> volume_;
  DedupeIndex* index_ = nullptr;
};

}  // namespace uvdo
