// SPDX-License-Identifier: GPL-2.0-or-later
// libFuzzer target: the decoders of the index, each fed with arbitrary bytes. The first byte
// chooses the decoder; what is missing of its block or page is zero.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/block_types.h"
#include "index/chapter_index.h"
#include "index/delta_list.h"
#include "index/index_layout.h"
#include "index/open_chapter.h"
#include "index/record_page.h"

namespace uvdo {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

/// `input` in `size` bytes, with nothing readable behind them but the slack that decoders may use.
std::vector<std::byte> filled_up(ConstBytes input, std::size_t size) {
  std::vector<std::byte> bytes(size + kBitSlack);
  std::copy_n(input.begin(), std::min(input.size(), size), bytes.begin());
  return bytes;
}

const IndexGeometry& real_geometry() {
  static const IndexGeometry geometry = *compute_index_geometry(*parse_index_memory("0.25"), false);
  return geometry;
}

RecordName name_in(ConstBytes input) {
  RecordName name;
  std::copy_n(input.begin(), std::min(input.size(), name.bytes.size()), name.bytes.begin());
  return name;
}

void decode_layout(ConstBytes input) {
  const IndexGeometry& g = real_geometry();
  const auto block = filled_up(input, kBlockSize);
  const ConstBytes bytes = ConstBytes(block).first(kBlockSize);
  const auto layout = decode_index_super_block(bytes, g, 1, g.region_blocks);
  if (!layout) return;
  // What is accepted lies within its space.
  require(layout->save_block[1] + layout->save_blocks <= 1 + g.region_blocks);
  require(layout->volume_block + g.volume_blocks <= layout->save_block[0]);
}

void decode_config(ConstBytes input) {
  const IndexGeometry& g = real_geometry();
  const auto block = filled_up(input, kBlockSize);
  IndexLayout layout = new_index_layout(g, 1, NonceInformation{});
  if (!decode_index_config(ConstBytes(block).first(kBlockSize), g, 1, layout)) return;
  for (const std::uint64_t chapter : {std::uint64_t{0}, std::uint64_t{5000}, kNoChapter - 1}) {
    require(physical_chapter(g, layout, chapter) < g.chapters);
  }
}

void decode_save(ConstBytes input) {
  const IndexGeometry& g = real_geometry();
  const IndexLayout layout = new_index_layout(g, 1, NonceInformation{});
  const auto block = filled_up(input, kBlockSize);
  const auto save = decode_save_header(ConstBytes(block).first(kBlockSize), layout, 0);
  if (!save) return;
  const auto inside = [&](const IndexRegion& region) {
    return region.start >= layout.save_block[0] &&
           region.start + region.blocks <= layout.save_block[0] + layout.save_blocks;
  };
  require(!save->zones.empty() && inside(save->page_map) && inside(save->open_chapter));
  require(std::all_of(save->zones.begin(), save->zones.end(), inside));
}

void decode_page(ConstBytes input) {
  const IndexGeometry& g = real_geometry();
  const auto page = filled_up(input, kIndexPageSize);
  const ConstBytes bytes = ConstBytes(page).first(kIndexPageSize);
  // The page carries whatever nonce the input has.
  const auto header = decode_index_page(bytes, load_le64(page.data()));
  if (!header) return;
  const bool sound = are_lists_sound(g, bytes, *header);
  const RecordName name = name_in(input);
  for (std::uint32_t list = 0; list < g.chapter_lists; ++list) {
    for (const std::uint32_t address : {0U, 70000U, (1U << 22U) - 1}) {
      const auto found = find_in_index_page(g, bytes, *header, {list, address}, name);
      require(!found || *found < g.record_pages_per_chapter);
      require(!found || header->has(list));
    }
  }
  (void)sound;
}

void decode_records(ConstBytes input) {
  const auto page = filled_up(input, kIndexPageSize);
  const ConstBytes bytes = ConstBytes(page).first(kIndexPageSize);
  const auto root = find_in_record_page(bytes, name_in(input));
  require(root.has_value());  // the input's first name is the root's
  RecordName other = name_in(input);
  for (std::size_t i = 0; i < 16; ++i) {
    other.bytes[i] ^= std::byte{0x55};
    [[maybe_unused]] const auto found = find_in_record_page(bytes, other);
  }
}

void decode_open_chapter(ConstBytes input) {
  const auto header = filled_up(input, OpenChapter::kSavedHeaderSize);
  const auto count = OpenChapter::decode_header(header, 65536);
  require(!count || *count <= 65536);
}

void decode_page_map(ConstBytes input) {
  static const IndexGeometry geometry = index_geometry_of(2, 16, 0);
  IndexPageMap map(geometry);
  if (!map.decode(input)) return;
  for (std::uint32_t list = 0; list < geometry.chapter_lists; ++list) {
    require(map.page_of(15, list) < geometry.index_pages_per_chapter);
  }
}

void decode_delta_list(ConstBytes input) {
  if (input.size() < 4) return;
  const unsigned payload_bits = 1 + load_u8(input.data()) % 20;
  const DeltaCode code = delta_code_of(load_u8(input.data() + 1) % 2 == 0 ? 4080 : 65536);
  const std::uint64_t bits = std::min<std::uint64_t>((input.size() - 2) * 8, kMaxDeltaListBits);
  const std::uint64_t skip = load_u8(input.data() + 1) / 2 % 8;
  const auto list = filled_up(input.subspan(2), input.size() - 2);
  const DeltaListReader reader(list.data(), skip, bits, code, payload_bits);
  DeltaListReader walk = reader;
  DeltaEntry entry;
  std::uint64_t last = 0;
  while (walk.next(entry) == DeltaListReader::Step::entry) {
    require(entry.key >= last && (entry.payload >> payload_bits) == 0);
    last = entry.key;
  }
  const auto found = find_in_delta_list(reader, last, entry.name);
  require(!found || (found->payload >> payload_bits) == 0);
}

}  // namespace
}  // namespace uvdo

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const uvdo::ConstBytes input{reinterpret_cast<const std::byte*>(data) + 1, size - 1};
  switch (data[0] % 8) {
    case 0: uvdo::decode_layout(input); break;
    case 1: uvdo::decode_config(input); break;
    case 2: uvdo::decode_save(input); break;
    case 3: uvdo::decode_page(input); break;
    case 4: uvdo::decode_records(input); break;
    case 5: uvdo::decode_open_chapter(input); break;
    case 6: uvdo::decode_page_map(input); break;
    default: uvdo::decode_delta_list(input); break;
  }
  return 0;
}
