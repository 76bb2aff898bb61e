// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/scratch_volume.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/print.h"
#include "device/open_device.h"
#include "volume/format_volume.h"
#include "volume/uds_index_factory.h"

namespace uvdo {
namespace {

// Slabs of 128 MiB: small enough for the smallest device that is measured.
constexpr unsigned kSlabBits = 15;

void say(const std::string& line) { print_error("{}\n", line); }

}  // namespace

ScratchVolume::~ScratchVolume() {
  volume_.reset();
  device_.reset();
  if (!scratch_file_.empty()) unlink(scratch_file_.c_str());
}

Result<void> ScratchVolume::make_scratch_file() {
  std::string path = request_.path + "/uvdo-bench-XXXXXX";
  const FileDescriptor fd(mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return errno_error(errno, fmt::format("making a scratch file in {}", request_.path));
  scratch_file_ = path;
  if (ftruncate(fd.get(), static_cast<off_t>(request_.device_bytes)) != 0) {
    return errno_error(errno, fmt::format("making {} as large as is needed", path));
  }
  return {};
}

Result<void> ScratchVolume::make_device() {
  if (request_.path.empty()) {
    auto memory = MemoryDevice::create(request_.device_bytes);
    if (!memory) return std::move(memory).error();
    memory_ = memory->get();
    device_ = std::move(*memory);
    return {};
  }
  std::string path = request_.path;
  if (std::filesystem::is_directory(path)) {
    if (auto made = make_scratch_file(); !made) return made;
    path = scratch_file_;
  }
  auto file = open_device(loop_, path, OpenMode::read_write);
  if (!file) return std::move(file).error();
  device_ = std::move(*file);
  request_.device_bytes = device_->size();
  return {};
}

/// Page faults are no cost of the engine: memory that will be written to is made present first.
void ScratchVolume::make_memory_present(const VolumeLayout& layout) {
  const std::uint64_t start =
      device_byte(layout.super_block.depot.first_block, layout.geometry.bio_offset);
  // An eighth more, and 64 MiB: for compressed blocks and pages of the map.
  const std::uint64_t wanted = request_.data_bytes + request_.data_bytes / 8 + (64U << 20U);
  const MutableBytes bytes = memory_->bytes();
  const MutableBytes part =
      bytes.subspan(start, std::min<std::uint64_t>(wanted, bytes.size() - start));
  // An older kernel that does not know it leaves the page faults in the figures, and is right
  // otherwise.
  madvise(part.data(), part.size(), MADV_POPULATE_WRITE);
}

Task<Result<void>> ScratchVolume::make_volume() {
  FormatRequest format;
  format.device_bytes = request_.device_bytes / kBlockSize * kBlockSize;
  format.slab_bits = kSlabBits;
  format.logical_bytes = request_.logical_bytes;
  format.nonce = loop_.wall_clock_us();
  auto layout = make_volume_layout(format);
  if (!layout) co_return std::move(layout).error();
  if (memory_ != nullptr) make_memory_present(*layout);
  auto done = co_await format_volume(*device_, *layout);
  if (!done) co_return done;
  if (WorkThread::is_worthwhile()) {
    auto work = WorkThread::start(loop_);
    if (!work) co_return std::move(work).error();
    work_ = std::move(*work);
    request_.options.use(*work_);
  }
  // The volume owns the index; a pointer to it is kept for tests that fill it.
  const auto factory = [this, make = uds_index_factory(say, request_.options.work)](
                           Executor& executor, Device& device, const VolumeGeometry& geometry,
                           bool create) {
    auto index = make(executor, device, geometry, create);
    index_ = index.get();
    return index;
  };
  auto kept = MemoryFile::create("uvdo-bench", KeptLayout::of(request_.options).bytes());
  if (!kept) co_return std::move(kept).error();
  kept_ = std::move(*kept);
  auto opened = co_await Volume::open(loop_, *device_, request_.options, factory, say,
                                      KeptMemories{kept_.bytes(), {}});
  if (!opened) co_return std::move(opened).error();
  volume_ = std::move(*opened);
  // Duplicates are found from the first block on.
  while (index_ != nullptr && index_->state() == IndexState::opening) co_await loop_.yield();
  co_return done;
}

Task<Result<void>> ScratchVolume::stop() {
  index_ = nullptr;
  co_return co_await volume_->stop();
}

}  // namespace uvdo
