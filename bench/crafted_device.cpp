// SPDX-License-Identifier: GPL-2.0-or-later
#include "crafted_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/mman.h>

namespace uvdo {

namespace {

void make_present(const PageMemory& memory, std::size_t bytes) {
  memory.allow_huge_pages();
  madvise(memory.data(), std::min(bytes, memory.size()), MADV_POPULATE_WRITE);
}

}  // namespace

CraftedDevice::CraftedDevice(const CraftedVolume& volume, const CraftedMemory& memory)
    : volume_(volume),
      place_memory_(volume.device_bytes() / kBlockSize * sizeof(std::uint32_t)),
      places_(reinterpret_cast<std::uint32_t*>(place_memory_.data())),
      metadata_((memory.metadata + 1) * kBlockSize),
      data_(memory.data * kBlockSize),
      owners_(memory.data, ~std::uint64_t{0}) {
  make_present(metadata_, memory.metadata_soon * kBlockSize);
  make_present(data_, data_.size());
}

void CraftedDevice::submit(Request& request) {
  request.done = true;
  if (request.op == Op::flush || request.op == Op::discard) return;
  if (request.op == Op::write_zeroes) {
    request.error = EOPNOTSUPP;
    return;
  }
  check(request.offset % kBlockSize == 0, "a request that begins within a block");
  std::uint64_t block = request.offset / kBlockSize;
  for (const iovec& slice : request.slices) {
    check(slice.iov_len % kBlockSize == 0, "a request that ends within a block");
    auto* bytes = static_cast<std::byte*>(slice.iov_base);
    for (std::size_t at = 0; at < slice.iov_len; at += kBlockSize, ++block) {
      check(block < size() / kBlockSize, "a request beyond the end");
      if (request.op == Op::write) {
        write(block, bytes + at);
      } else {
        read(block, bytes + at);
      }
    }
  }
}

std::byte* CraftedDevice::memory_of(std::uint32_t place) const {
  const PageMemory& memory = (place & kData) != 0 ? data_ : metadata_;
  return memory.data() + std::size_t{place & ~kData} * kBlockSize;
}

bool CraftedDevice::is_kept(std::uint64_t block) const {
  const std::uint32_t place = places_[block];
  return place != 0 && ((place & kData) == 0 || owners_[place & ~kData] == block);
}

void CraftedDevice::read(std::uint64_t block, std::byte* out) const {
  if (is_kept(block)) {
    std::memcpy(out, memory_of(places_[block]), kBlockSize);
  } else {
    volume_.read(Pbn{block}, {out, kBlockSize});
  }
}

void CraftedDevice::write(std::uint64_t block, const std::byte* data) {
  if (!is_kept(block)) places_[block] = place_for(block);
  std::memcpy(memory_of(places_[block]), data, kBlockSize);
}

std::uint32_t CraftedDevice::place_for(std::uint64_t block) {
  if (volume_.is_for_data(Pbn{block})) {
    const std::uint32_t place = next_data_;
    next_data_ = next_data_ + 1 == owners_.size() ? 0 : next_data_ + 1;
    owners_[place] = block;
    return place | kData;
  }
  check((std::size_t{metadata_used_} + 1) * kBlockSize <= metadata_.size(),
        "more metadata were written than there is room for");
  return metadata_used_++;
}

}  // namespace uvdo
