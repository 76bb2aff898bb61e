// SPDX-License-Identifier: GPL-2.0-or-later
// Encoding and decoding of the geometry block.
#include "format/volume_geometry.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/core.h>

#include "base/crc32.h"
#include "format/component_header.h"

namespace uvdo {
namespace {

// volume.md, 3.
constexpr std::size_t kMagicSize = 8;
constexpr std::uint32_t kGeometryId = 5;
constexpr std::uint32_t kIndexRegion = 0;
constexpr std::uint32_t kDataRegion = 1;
constexpr std::size_t kChecksumSize = 4;
/// An entry of the block map has 36 bits for a block number.
constexpr std::uint64_t kPbnLimit = 1ULL << 36;

constexpr ComponentHeader header_of(std::uint32_t major_version) {
  return {kGeometryId, major_version, 0, major_version == 4 ? kGeometrySizeV4 : kGeometrySizeV5};
}

Error corrupt(std::string_view what) {
  return {Errc::corrupt, fmt::format("the geometry block is damaged: {}", what)};
}

}  // namespace

void encode_volume_geometry(const VolumeGeometry& geometry, MutableBytes block) {
  check(block.size() == kBlockSize, "a geometry block is 4096 bytes");
  check(geometry.major_version == 4 || geometry.major_version == 5, "geometry version");
  check(geometry.major_version == 5 || geometry.bio_offset == 0, "version 4 has no bio offset");
  std::memset(block.data(), 0, block.size());
  ByteWriter out(block);
  out.bytes(std::as_bytes(std::span(kGeometryMagic, kMagicSize)));
  const ComponentHeader header = header_of(geometry.major_version);
  write_component_header(out, header);
  out.le32(geometry.unused);
  out.le64(geometry.nonce);
  out.bytes(geometry.uuid);
  if (geometry.major_version == 5) out.le64(geometry.bio_offset);
  out.le32(kIndexRegion);
  out.le64(geometry.index_start.value());
  out.le32(kDataRegion);
  out.le64(geometry.data_start.value());
  out.le32(std::bit_cast<std::uint32_t>(geometry.index_memory.value));
  out.le32(0);
  out.u8(geometry.sparse ? 1 : 0);
  out.le32(vdo_crc32(block.first(out.offset())));
  check(out.offset() == header.size, "size of the geometry block");
}

Result<VolumeGeometry> decode_volume_geometry(ConstBytes block) {
  check(block.size() == kBlockSize, "a geometry block is 4096 bytes");
  ByteReader in(block);
  const ConstBytes magic = in.bytes(kMagicSize);
  if (!std::ranges::equal(magic, std::as_bytes(std::span(kGeometryMagic, kMagicSize)))) {
    return Error(Errc::not_found,
                 "there is no VDO volume here: the first block lacks the signature \"dmvdo001\"");
  }
  const ComponentHeader header = read_component_header(in);
  VolumeGeometry geometry;
  // As the kernel takes them; that it is exactly one of the two is seen next.
  geometry.major_version = header.major_version <= 4 ? 4 : 5;
  const ComponentHeader wanted = header_of(geometry.major_version);
  if (auto ok = expect_component_header(header, wanted, "geometry block"); !ok) {
    return std::move(ok).error();
  }
  const std::size_t checked = wanted.size - kChecksumSize;
  const std::uint32_t stored = load_le32(block.data() + checked);
  const std::uint32_t computed = vdo_crc32(block.first(checked));
  if (stored != computed) {
    return corrupt(
        fmt::format("its checksum is {:#010x}, but {:#010x} was computed", stored, computed));
  }
  geometry.unused = in.le32();
  geometry.nonce = in.le64();
  std::ranges::copy(in.bytes(geometry.uuid.size()), geometry.uuid.begin());
  if (geometry.major_version == 5) geometry.bio_offset = in.le64();
  const std::uint32_t first_region = in.le32();
  geometry.index_start = Pbn{in.le64()};
  const std::uint32_t second_region = in.le32();
  geometry.data_start = Pbn{in.le64()};
  geometry.index_memory.value = std::bit_cast<std::int32_t>(in.le32());
  in.skip(4);
  const std::uint8_t sparse = in.u8();
  geometry.sparse = sparse != 0;
  check(in.offset() == checked, "size of the geometry block");

  if (first_region != kIndexRegion || second_region != kDataRegion) {
    return corrupt(
        fmt::format("its regions are {} and {}, not 0 and 1", first_region, second_region));
  }
  if (sparse > 1) return corrupt(fmt::format("its sparse flag is {}, not 0 or 1", sparse));
  // So that each block of the volume has a byte on the device, and sizes are not negative.
  if (geometry.bio_offset >= geometry.index_start.value() ||
      geometry.index_start > geometry.data_start || geometry.data_start.value() >= kPbnLimit) {
    return corrupt(fmt::format("index at block {}, data at {} and bio offset {} contradict",
                               geometry.index_start.value(), geometry.data_start.value(),
                               geometry.bio_offset));
  }
  return geometry;
}

}  // namespace uvdo
