// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_parameters.h"

#include <bit>

#include <fmt/core.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::uint32_t kBlockSectors = kBlockSize >> ublk::kSectorShift;
constexpr std::uint32_t kMostOptimum = 1U << 20U;
/// The largest number of whole blocks: 2 TiB less 4 KiB. The driver wants one limit for both.
constexpr std::uint32_t kMaxRangeSectors = UINT32_MAX / kBlockSectors * kBlockSectors;

std::uint8_t shift_of(std::uint64_t power) {
  return static_cast<std::uint8_t>(std::countr_zero(power));
}

Error foreign_device() {
  return {Errc::corrupt, "the device has properties that uvdo gives to none"};
}

bool is_logical_block(std::uint64_t size) { return size == 512 || size == kBlockSize; }

}  // namespace

Result<ublk::Parameters> encode_parameters(const UblkAttributes& attributes) {
  if (!is_logical_block(attributes.logical_block_size)) {
    return Error(Errc::invalid_argument, "the logical block size of a device is 512 or 4096 bytes");
  }
  if (attributes.size == 0 || attributes.size % attributes.logical_block_size != 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("a device of {} bytes is none of whole blocks of {} bytes",
                             attributes.size, attributes.logical_block_size));
  }
  const std::uint32_t optimum = attributes.io_optimum;
  if (!std::has_single_bit(optimum) || optimum < kBlockSize || optimum > kMostOptimum) {
    return Error(Errc::invalid_argument,
                 "the best size of requests is a power of two from 4 KiB to 1 MiB");
  }
  const std::uint32_t most = attributes.max_io_bytes;
  if (most == 0 || most % kBlockSize != 0 || most > ublk::kMaxIoBytes) {
    return Error(Errc::invalid_argument,
                 "the largest request is a multiple of 4 KiB, up to 32 MiB");
  }
  ublk::Parameters parameters;
  parameters.length = sizeof parameters;
  parameters.types = ublk::kHasBasic | ublk::kHasDiscard;
  if (attributes.is_read_only) parameters.attributes |= ublk::kReadOnly;
  if (attributes.has_volatile_cache) {
    parameters.attributes |= ublk::kVolatileCache | ublk::kFuaWrites;
  }
  parameters.logical_block_shift = shift_of(attributes.logical_block_size);
  parameters.physical_block_shift = shift_of(kBlockSize);
  parameters.io_minimum_shift = shift_of(kBlockSize);
  parameters.io_optimum_shift = shift_of(optimum);
  parameters.max_sectors = most >> ublk::kSectorShift;
  parameters.sectors = attributes.size >> ublk::kSectorShift;
  parameters.discard_granularity = kBlockSize;
  parameters.max_discard_sectors = kMaxRangeSectors;
  parameters.max_zeroes_sectors = kMaxRangeSectors;
  parameters.max_discard_segments = 1;
  return parameters;
}

Result<UblkAttributes> decode_parameters(const ublk::Parameters& parameters) {
  const bool has_shifts = parameters.logical_block_shift < 32 && parameters.io_optimum_shift < 32;
  if (!has_shifts || (parameters.types & ublk::kHasBasic) == 0 ||
      parameters.sectors > UINT64_MAX >> ublk::kSectorShift ||
      parameters.max_sectors > ublk::kMaxIoBytes >> ublk::kSectorShift) {
    return foreign_device();
  }
  UblkAttributes attributes;
  attributes.size = parameters.sectors << ublk::kSectorShift;
  attributes.logical_block_size = 1U << parameters.logical_block_shift;
  attributes.io_optimum = 1U << parameters.io_optimum_shift;
  attributes.max_io_bytes = parameters.max_sectors << ublk::kSectorShift;
  attributes.is_read_only = (parameters.attributes & ublk::kReadOnly) != 0;
  attributes.has_volatile_cache = (parameters.attributes & ublk::kVolatileCache) != 0;
  if (!encode_parameters(attributes)) return foreign_device();
  return attributes;
}

}  // namespace uvdo
