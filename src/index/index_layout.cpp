// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/index_layout.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/murmur3.h"

namespace uvdo {
namespace {

// The region table (index.md, 3.1), and what its regions are (3 and 5).
constexpr std::uint64_t kTableMagic = 0x416C6252676E3031;
constexpr std::size_t kTableHeaderSize = 24;
constexpr std::size_t kTableEntrySize = 24;
constexpr std::uint16_t kTableVersion = 1;

enum TableType : std::uint16_t { kSuperBlockTable = 1, kSaveTable = 2, kEmptySaveTable = 4 };
enum Kind : std::uint16_t {
  kFree = 0,
  kHeader = 1,
  kConfig = 100,
  kIndex = 101,
  kSeal = 102,
  kVolume = 201,
  kSave = 202,
  kPageMap = 301,
  kVolumeIndex = 302,
  kOpenChapter = 303
};
constexpr std::uint16_t kSole = 65535;

// The payloads of a super block (index.md, 4.1) and of save headers (5).
constexpr std::string_view kLabel = "*ALBIREO*SINGLE*FILE*LAYOUT*001*";
constexpr std::uint32_t kVersion = 3;
constexpr std::uint32_t kConvertedVersion = 7;
constexpr std::size_t kPayloadSize = 104;
constexpr std::size_t kConvertedPayloadSize = 120;
constexpr std::size_t kSavePayloadSize = 64;
constexpr std::size_t kEmptySavePayloadSize = 24;
constexpr std::uint32_t kSaveVersion = 1;
constexpr std::uint32_t kStateVersion = 301;
constexpr std::uint32_t kMaxZones = 16;

// The configuration (index.md, 4.2).
constexpr std::string_view kConfigMagic = "ALBIC";
constexpr std::string_view kConfigVersion = "06.02";
constexpr std::string_view kConvertedConfigVersion = "08.02";
constexpr std::uint32_t kCacheChapters = 7;
constexpr std::uint32_t kIndexMeanDelta = 4096;
// Enough for every field of the larger version.
constexpr std::size_t kConfigSize = 66;

/// False if there are not as many bytes.
bool starts_with(ConstBytes bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

void put_text(ByteWriter& writer, std::string_view text) {
  writer.bytes(std::as_bytes(std::span(text)));
}

Error corrupt(std::string_view what) {
  return {Errc::corrupt, fmt::format("the deduplication index is damaged: {}", what)};
}

/// A region table as it is found; payload points into the block.
struct Table {
  std::uint64_t blocks = 0;
  std::uint16_t type = 0;
  std::vector<IndexRegion> regions;
  ConstBytes payload;
};

/// not_found if the block has another magic: nothing was ever made here, or it was cleared.
Result<Table> decode_table(ConstBytes block) {
  ByteReader reader(block);
  if (reader.le64() != kTableMagic) {
    return Error(Errc::not_found, "there is no deduplication index here yet");
  }
  Table table;
  table.blocks = reader.le64();
  table.type = reader.le16();
  if (const std::uint16_t version = reader.le16(); version != kTableVersion) {
    return Error(Errc::unsupported,
                 fmt::format("version {} of the index's region table is unknown", version));
  }
  const std::size_t count = reader.le16();
  const std::size_t payload = reader.le16();
  // Checked before anything behind the header is read.
  if (kTableHeaderSize + count * kTableEntrySize + payload > block.size()) {
    return corrupt("a region table is longer than its block");
  }
  for (std::size_t i = 0; i < count; ++i) {
    IndexRegion region;
    region.start = reader.le64();
    region.blocks = reader.le64();
    reader.skip(4);
    region.kind = reader.le16();
    region.instance = reader.le16();
    table.regions.push_back(region);
  }
  table.payload = reader.bytes(payload);
  return table;
}

/// Writes all but the payload, for which the writer is left.
ByteWriter begin_table(MutableBytes block, std::uint64_t blocks, TableType type,
                       std::span<const IndexRegion> regions, std::size_t payload) {
  std::fill(block.begin(), block.end(), std::byte{0});
  ByteWriter writer(block);
  writer.le64(kTableMagic);
  writer.le64(blocks);
  writer.le16(type);
  writer.le16(kTableVersion);
  writer.le16(static_cast<std::uint16_t>(regions.size()));
  writer.le16(static_cast<std::uint16_t>(payload));
  for (const IndexRegion& region : regions) {
    writer.le64(region.start);
    writer.le64(region.blocks);
    writer.le32(0);
    writer.le16(region.kind);
    writer.le16(region.instance);
  }
  return writer;
}

/// H(start, data) of index.md, 4.3.
std::uint64_t hash_stuff(std::uint64_t start, ConstBytes data) {
  const auto seed = static_cast<std::uint32_t>(start ^ start >> 27U);
  return load_le64(murmur3_x64_128(data, seed).bytes.data() + 4);
}

}  // namespace

std::uint64_t primary_index_nonce(const NonceInformation& information) {
  return hash_stuff(0xA1B1E0FC, information);
}

/// 0 would be the nonce of pages that were never written: then the negated primary is taken.
std::uint64_t index_volume_nonce(std::uint64_t primary, std::uint64_t recorded_start) {
  std::array<std::byte, 16> data{};
  store_le64(data.data(), recorded_start);
  const std::uint64_t nonce = hash_stuff(primary + 1, data);
  return nonce != 0 ? nonce : hash_stuff(~primary + 1 + 1, data);
}

std::uint64_t index_save_nonce(std::uint64_t volume_nonce, std::uint64_t timestamp_ms,
                               std::uint32_t version, std::uint64_t recorded_start) {
  std::array<std::byte, 32> data{};
  store_le64(data.data(), timestamp_ms);
  store_le32(data.data() + 16, version);
  store_le64(data.data() + 24, recorded_start);
  return hash_stuff(volume_nonce + 1, data);
}

IndexLayout new_index_layout(const IndexGeometry& geometry, std::uint64_t start_block,
                             const NonceInformation& information) {
  IndexLayout layout;
  layout.nonce_information = information;
  layout.header_block = start_block;
  layout.volume_block = start_block + 2;
  layout.save_blocks = geometry.save_blocks;
  layout.save_block[0] = layout.volume_block + geometry.volume_blocks;
  layout.save_block[1] = layout.save_block[0] + geometry.save_blocks;
  // Counted from the start of the device, as all numbers in the region are (index.md, 16.3).
  layout.volume_nonce = index_volume_nonce(primary_index_nonce(information), start_block + 2);
  return layout;
}

/// index.md, 3 and 4.1.
void encode_index_super_block(const IndexLayout& layout, const IndexGeometry& geometry,
                              MutableBytes block) {
  // A converted one is used as it is, and its super block never written.
  check(layout.version == kVersion, "only new indexes get a super block");
  const std::uint64_t start = layout.header_block;
  // The seven regions of index.md, 3, in that order.
  const std::array<IndexRegion, 7> regions{{
      {start, 1, kHeader, kSole},
      {start + 1, 1, kConfig, kSole},
      {start + 2, geometry.volume_blocks + 2 * layout.save_blocks, kIndex, 0},
      {start + 2, geometry.volume_blocks, kVolume, kSole},
      {layout.save_block[0], layout.save_blocks, kSave, 0},
      {layout.save_block[1], layout.save_blocks, kSave, 1},
      {layout.save_block[1] + layout.save_blocks, 1, kSeal, kSole},
  }};
  ByteWriter writer = begin_table(block, 3 + geometry.volume_blocks + 2 * layout.save_blocks,
                                  kSuperBlockTable, regions, kPayloadSize);
  put_text(writer, kLabel);
  writer.bytes(layout.nonce_information);
  writer.le64(primary_index_nonce(layout.nonce_information));
  writer.le32(kVersion);
  writer.le32(kBlockSize);
  writer.le16(1);
  writer.le16(kIndexSaves);
  writer.le32(0);
  writer.le64(geometry.open_chapter_blocks);
  writer.le64(geometry.page_map_blocks);
}

Result<IndexLayout> decode_index_super_block(ConstBytes block, const IndexGeometry& geometry,
                                             std::uint64_t start_block,
                                             std::uint64_t region_blocks) {
  auto decoded = decode_table(block);
  if (!decoded) return std::move(decoded).error();
  const Table& table = *decoded;
  // The checks of index.md, 4.1, in the order in which each makes the next one safe.
  if (table.type != kSuperBlockTable || table.regions.size() != 7) {
    return corrupt("its first block is no super block");
  }
  if (table.payload.size() < kPayloadSize || !starts_with(table.payload, kLabel)) {
    return corrupt("its super block has no label");
  }
  ByteReader reader(table.payload);
  reader.skip(kLabel.size());
  IndexLayout layout;
  const ConstBytes information = reader.bytes(layout.nonce_information.size());
  std::copy(information.begin(), information.end(), layout.nonce_information.begin());
  const std::uint64_t primary = reader.le64();
  layout.version = reader.le32();
  const std::uint32_t block_size = reader.le32();
  const std::uint16_t indexes = reader.le16();
  const std::uint16_t saves = reader.le16();
  reader.skip(4);
  const std::uint64_t open_chapter_blocks = reader.le64();
  const std::uint64_t page_map_blocks = reader.le64();
  if (layout.version != kVersion && layout.version != kConvertedVersion) {
    return Error(Errc::unsupported,
                 fmt::format("version {} of the deduplication index is unknown", layout.version));
  }
  if (layout.version == kConvertedVersion) {
    if (table.payload.size() < kConvertedPayloadSize) return corrupt("its super block is short");
    layout.volume_offset = reader.le64();
    layout.start_offset = reader.le64();
    if (layout.volume_offset < layout.start_offset) return corrupt("its offsets are impossible");
  }
  if (primary != primary_index_nonce(layout.nonce_information))
    return corrupt("its nonce is wrong");
  if (block_size != kBlockSize || indexes != 1 || saves != kIndexSaves ||
      open_chapter_blocks != geometry.open_chapter_blocks ||
      page_map_blocks != geometry.page_map_blocks) {
    return corrupt("its super block is not that of an index of this size");
  }

  // Region by region; sums cannot wrap, for all numbers are checked to be small first.
  constexpr std::uint64_t kTooMany = std::uint64_t{1} << 50U;
  const std::vector<IndexRegion>& r = table.regions;
  for (const IndexRegion& region : r) {
    if (region.start >= kTooMany || region.blocks >= kTooMany) return corrupt("absurd regions");
  }
  if (layout.volume_offset >= kTooMany) return corrupt("absurd offsets");
  const std::uint64_t first = r[0].start;
  // What the table must say, made from its own sizes: the recorded size of the volume need not be
  // the computed one.
  const std::uint64_t first_save = first + 2 + r[3].blocks + layout.volume_offset;
  const std::uint64_t seal = first_save + r[4].blocks + r[5].blocks;
  const std::array<IndexRegion, 7> expected{{
      {first, 1, kHeader, kSole},
      {first + 1, 1, kConfig, kSole},
      {first + 2, r[3].blocks + r[4].blocks + r[5].blocks, kIndex, 0},
      {first + 2, r[3].blocks, kVolume, kSole},
      {first_save, r[4].blocks, kSave, 0},
      {first_save + r[4].blocks, r[4].blocks, kSave, 1},
      {seal, 1, kSeal, kSole},
  }};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (r[i].start != expected[i].start || r[i].blocks != expected[i].blocks ||
        r[i].kind != expected[i].kind || r[i].instance != expected[i].instance) {
      return corrupt(fmt::format("region {} of its super block is misplaced", i));
    }
  }
  if (table.blocks != seal + 1 - layout.volume_offset - first) {
    return corrupt("its size is not that of its regions");
  }
  // From recorded numbers to those of the present device (index.md, 4.1, version 7); both offsets
  // are 0 in all others.
  layout.save_blocks = r[4].blocks;
  layout.header_block = first + layout.volume_offset - layout.start_offset;
  layout.volume_block = r[3].start + layout.volume_offset - layout.start_offset;
  for (std::uint32_t slot = 0; slot < kIndexSaves; ++slot) {
    if (r[4 + slot].start < layout.start_offset) return corrupt("its offsets are impossible");
    layout.save_block[slot] = r[4 + slot].start - layout.start_offset;
  }
  if (layout.header_block != start_block) {
    return corrupt("it was made for another place of the device");
  }
  // The space that it takes must be its own.
  if (layout.volume_block + geometry.volume_blocks > layout.save_block[0] ||
      layout.save_block[1] + layout.save_blocks > start_block + region_blocks ||
      layout.save_blocks <
          1 + geometry.page_map_blocks + geometry.open_chapter_blocks + kMaxZones) {
    return corrupt("it does not fit into the space reserved for it");
  }
  layout.volume_nonce = index_volume_nonce(primary, r[2].start);
  return layout;
}

void encode_index_config(const IndexLayout& layout, const IndexGeometry& geometry,
                         std::uint64_t user_nonce, MutableBytes block) {
  std::fill(block.begin(), block.end(), std::byte{0});
  ByteWriter writer(block);
  put_text(writer, kConfigMagic);
  put_text(writer, layout.version >= 4 ? kConvertedConfigVersion : kConfigVersion);
  writer.le32(geometry.record_pages_per_chapter);
  writer.le32(static_cast<std::uint32_t>(geometry.chapters));
  writer.le32(static_cast<std::uint32_t>(geometry.sparse_chapters));
  writer.le32(kCacheChapters);
  writer.le32(0);
  writer.le32(kIndexMeanDelta);
  writer.le32(kIndexPageSize);
  writer.le32(geometry.sparse ? kSparseSampleRate : 0);
  writer.le64(user_nonce);
  if (layout.version >= 4) {
    writer.le64(layout.remapped_virtual);
    writer.le64(layout.remapped_physical);
  }
}

Result<void> decode_index_config(ConstBytes block, const IndexGeometry& geometry,
                                 std::uint64_t user_nonce, IndexLayout& layout) {
  ByteReader reader(block.first(kConfigSize));
  if (!starts_with(reader.bytes(kConfigMagic.size()), kConfigMagic)) {
    return corrupt("its configuration is missing");
  }
  const ConstBytes version = reader.bytes(kConfigVersion.size());
  // Either version is read, whatever the super block's is (index.md, 4.2).
  const bool converted = starts_with(version, kConvertedConfigVersion);
  if (!converted && !starts_with(version, kConfigVersion)) {
    return corrupt("the version of its configuration is unknown");
  }
  // Each field is read whether the ones before were right or not, so that the reader stays in step.
  bool same = reader.le32() == geometry.record_pages_per_chapter;
  same = reader.le32() == geometry.chapters && same;
  same = reader.le32() == geometry.sparse_chapters && same;
  same = reader.le32() == kCacheChapters && same;
  reader.skip(4);
  same = reader.le32() == kIndexMeanDelta && same;
  same = reader.le32() == kIndexPageSize && same;
  same = reader.le32() == (geometry.sparse ? kSparseSampleRate : 0) && same;
  if (!same) return corrupt("it was made with another size");
  if (reader.le64() != user_nonce) return corrupt("it belongs to another volume");
  if (converted) {
    layout.remapped_virtual = reader.le64();
    layout.remapped_physical = reader.le64();
    if (layout.remapped_physical >= geometry.chapters) {
      return corrupt("its remapped chapter is impossible");
    }
  }
  return {};
}

/// index.md, 5.
IndexSave divide_save_area(const IndexLayout& layout, const IndexGeometry& geometry,
                           std::uint32_t slot, std::uint32_t zones) {
  IndexSave save;
  std::uint64_t at = layout.save_block[slot] + 1;
  save.page_map = {at, geometry.page_map_blocks, kPageMap, kSole};
  at += geometry.page_map_blocks;
  // What the fixed parts leave is shared out evenly; a rest stays free behind the open chapter.
  const std::uint64_t left =
      layout.save_blocks - 1 - geometry.page_map_blocks - geometry.open_chapter_blocks;
  for (std::uint32_t zone = 0; zone < zones; ++zone) {
    save.zones.push_back({at, left / zones, kVolumeIndex, static_cast<std::uint16_t>(zone)});
    at += left / zones;
  }
  save.open_chapter = {at, geometry.open_chapter_blocks, kOpenChapter, kSole};
  return save;
}

void encode_save_header(const IndexLayout& layout, const IndexSave& save, std::uint32_t slot,
                        MutableBytes block) {
  const std::uint64_t start = layout.save_block[slot];
  std::vector<IndexRegion> regions;
  regions.push_back({start, 1, kHeader, kSole});
  regions.push_back(save.page_map);
  regions.insert(regions.end(), save.zones.begin(), save.zones.end());
  regions.push_back(save.open_chapter);
  const std::uint64_t end = save.open_chapter.start + save.open_chapter.blocks;
  if (end < start + layout.save_blocks) {
    regions.push_back({end, start + layout.save_blocks - end, kFree, kSole});
  }
  // Tables have recorded numbers.
  for (IndexRegion& region : regions) region.start += layout.start_offset;
  ByteWriter writer = begin_table(block, layout.save_blocks, kSaveTable, regions, kSavePayloadSize);
  writer.le64(save.timestamp_ms);
  writer.le64(index_save_nonce(layout.volume_nonce, save.timestamp_ms, kSaveVersion,
                               layout.recorded_save_block(slot)));
  writer.le32(kSaveVersion);
  writer.le32(0);
  writer.le32(0xFFFFFFFF);
  writer.le32(kStateVersion);
  writer.le64(save.newest);
  writer.le64(save.oldest);
  writer.le64(save.newest == 0 ? kNoChapter : save.newest - 1);
  writer.le64(0);
}

void encode_empty_save_header(const IndexLayout& layout, const IndexGeometry& geometry,
                              std::uint32_t slot, MutableBytes block) {
  const std::uint64_t start = layout.recorded_save_block(slot);
  const std::uint64_t map = geometry.page_map_blocks;
  const std::array<IndexRegion, 3> regions{{
      {start, 1, kHeader, kSole},
      {start + 1, map, kPageMap, kSole},
      {start + 1 + map, layout.save_blocks - 1 - map, kFree, kSole},
  }};
  ByteWriter writer =
      begin_table(block, layout.save_blocks, kEmptySaveTable, regions, kEmptySavePayloadSize);
  writer.zeros(kEmptySavePayloadSize);
}

Result<IndexSave> decode_save_header(ConstBytes block, const IndexLayout& layout,
                                     std::uint32_t slot) {
  auto decoded = decode_table(block);
  if (!decoded) return corrupt("a save area has no header");
  Table& table = *decoded;
  if (table.type != kSaveTable || table.blocks != layout.save_blocks ||
      table.payload.size() < kSavePayloadSize || table.regions.size() < 4) {
    return corrupt("there is no save in this area");
  }
  std::vector<IndexRegion>& r = table.regions;
  const std::uint64_t start = layout.recorded_save_block(slot);
  const std::uint64_t end = start + layout.save_blocks;
  std::uint64_t at = start;
  for (const IndexRegion& region : r) {
    // Each follows the one before, and none goes beyond the area: what is read by them stays within
    // it.
    if (region.start != at || region.blocks > end - at) return corrupt("misplaced save regions");
    at += region.blocks;
  }
  // index.md, 5: header, page map and open chapter, and free space only if there is any.
  const std::size_t zones = r.size() - (r.back().kind == kFree ? 4 : 3);
  bool good = at == end && zones >= 1 && zones <= kMaxZones;
  good = good && r[0].kind == kHeader && r[0].blocks == 1 && r[1].kind == kPageMap;
  for (std::size_t zone = 0; good && zone < zones; ++zone) {
    good = r[2 + zone].kind == kVolumeIndex && r[2 + zone].instance == zone;
  }
  if (!good || r[2 + zones].kind != kOpenChapter) return corrupt("unknown save regions");

  ByteReader reader(table.payload);
  IndexSave save;
  save.timestamp_ms = reader.le64();
  const std::uint64_t nonce = reader.le64();
  const std::uint32_t version = reader.le32();
  reader.skip(4);
  // A save of a later form cannot be told from one that is damaged.
  const bool state_known = reader.le32() == 0xFFFFFFFF && reader.le32() == kStateVersion;
  save.newest = reader.le64();
  save.oldest = reader.le64();
  if (save.timestamp_ms == 0 || version > kSaveVersion || !state_known ||
      nonce != index_save_nonce(layout.volume_nonce, save.timestamp_ms, version, start)) {
    return corrupt("the save in this area is of another index");
  }
  for (IndexRegion& region : r) region.start -= layout.start_offset;
  save.page_map = r[1];
  save.zones.assign(r.begin() + 2, r.begin() + 2 + static_cast<std::ptrdiff_t>(zones));
  save.open_chapter = r[2 + zones];
  return save;
}

/// The rule of index.md, 9.1: rv is the number of the chapter that a conversion has moved, and rp
/// its slot; both are 0 where none was.
std::uint64_t physical_chapter(const IndexGeometry& geometry, const IndexLayout& layout,
                               std::uint64_t chapter) {
  const std::uint64_t c = geometry.chapters;
  // An index that is not reduced (index.md, 2).
  if (c % 2 == 0) return chapter % c;
  const std::uint64_t rv = layout.remapped_virtual;
  if (chapter == rv) return layout.remapped_physical;
  if (chapter > rv) {
    const std::uint64_t d = chapter - rv;
    return d > layout.remapped_physical ? d % c : d - 1;
  }
  const std::uint64_t d = rv - chapter;
  // An older chapter is long gone, and nobody asks for its place.
  return d < c ? c - d : 0;
}

std::uint64_t chapters_to_expire(const IndexGeometry& geometry, const IndexLayout& layout,
                                 std::uint64_t newest) {
  // The ring has not been filled once.
  if (newest < geometry.chapters) return 0;
  if (layout.remapped_physical > 0) {
    const std::uint64_t oldest = newest - geometry.chapters;
    if (oldest == layout.remapped_virtual) return 2;
    if (oldest == layout.remapped_virtual + layout.remapped_physical) return 0;
  }
  return 1;
}

}  // namespace uvdo
