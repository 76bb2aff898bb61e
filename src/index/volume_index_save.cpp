// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/volume_index_save.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "index/delta_list.h"

namespace uvdo {
namespace {

// The fields are those of the table in index.md, 8.5.
constexpr std::string_view kSparseMagic = "MI6-0001";
constexpr std::string_view kVolumeMagic = "MI5-0005";
constexpr std::string_view kDeltaMagic = "DI-00002";
constexpr std::size_t kSparseHeaderSize = 12;
constexpr std::size_t kFixedHeaderSize = 80;
constexpr std::size_t kHeaderSizePerList = 10;
constexpr std::size_t kListHeaderSize = 8;
constexpr std::size_t kGuardSize = 8;
constexpr std::byte kGuardTag{'z'};
/// A reader adds a bit offset of up to 7 in 16 bits.
constexpr std::uint64_t kMaxSavedListBits = 65528;
// Zones that a kernel may load a save into, and that a save may have.
constexpr std::uint32_t kMaxZones = 16;

/// Work to code or to read a list.
std::uint64_t units_of_list(std::uint64_t bits) { return 20 + bits / 16; }

/// What says in the stream which sub-index a list is of.
std::byte tag_of(const VolumeIndex& index, std::size_t sub) {
  if (index.subs().size() == 1) return std::byte{'m'};
  return sub == 0 ? std::byte{'d'} : std::byte{'s'};
}

void put_text(ByteWriter& writer, std::string_view text) {
  writer.bytes(std::as_bytes(std::span(text)));
}

bool is_text(ByteReader& reader, std::string_view text) {
  return std::memcmp(reader.bytes(text.size()).data(), text.data(), text.size()) == 0;
}

/// What the headers say of a sub-index.
struct SavedSub {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint64_t entries = 0;
  std::uint64_t collisions = 0;
  std::vector<std::uint64_t> flush;
  std::vector<std::uint16_t> lengths;  // bits

  explicit SavedSub(const VolumeSubIndex& sub)
      : flush(sub.geometry().lists), lengths(sub.geometry().lists) {}
};

std::uint64_t header_size(const VolumeIndex& index) {
  std::uint64_t size = index.subs().size() > 1 ? kSparseHeaderSize : 0;
  for (const VolumeSubIndex& sub : index.subs()) {
    size += kFixedHeaderSize + kHeaderSizePerList * sub.geometry().lists;
  }
  return size;
}

/// Whether the kernel can lay the lists into its memory, whatever its number of zones, without
/// expiring chapters at once.
bool fits_kernel(const SubIndexGeometry& g, const std::vector<std::uint16_t>& lengths) {
  // The saver does not know how many zones the reader will have (index.md, 16.3).
  for (std::uint32_t zones = 1; zones <= kMaxZones; ++zones) {
    // As the kernel divides them (index.md, 8.1): memory of a zone and bits of a zone, for each of
    // them.
    const std::size_t lists = (g.lists + zones - 1) / zones;
    for (std::size_t first = 0; first < g.lists; first += lists) {
      std::uint64_t bits = 0;
      std::uint64_t bytes = 7;
      for (std::size_t i = first; i < std::min<std::size_t>(first + lists, g.lists); ++i) {
        bits += lengths[i];
        bytes += (lengths[i] + 7U) / 8;
      }
      if (bytes > g.zone_memory(zones) || bits > g.zone_limit_bits(zones)) return false;
    }
  }
  return true;
}

/// Codes one list; the number of bits. Entries that no longer fit are dropped.
std::uint64_t code_list(const SubIndexGeometry& g, std::span<const VolumeSubIndex::Entry> entries,
                        std::byte* to, SavedSub& saved, std::uint64_t& oldest) {
  BitWriter writer(to);
  const std::uint64_t mask = low_bits(g.chapter_bits);
  std::uint32_t last = 0;
  bool is_first = true;
  for (const VolumeSubIndex::Entry& entry : entries) {
    // The first entry that is left at an address is the plain one.
    const bool is_plain = is_first || entry.address != last;
    const std::uint64_t size =
        g.chapter_bits + coded_bits(g.code, entry.address - last) + (is_plain ? 0 : kNameBits);
    // Keys ascend, so that it is the last ones of a list that have no room.
    if (writer.position(to) + size > kMaxSavedListBits) break;
    put_entry(writer, g.code, g.chapter_bits, entry.chapter & mask, entry.address - last);
    if (!is_plain) {
      writer.put_bytes(entry.collision->bytes);
      ++saved.collisions;
    }
    ++saved.entries;
    oldest = std::min(oldest, entry.chapter);
    last = entry.address;
    is_first = false;
  }
  return writer.position(to);
}

/// Writes the lists of one sub-index and notes what its headers need.
Task<Result<void>> save_lists(Executor& executor, const VolumeSubIndex& sub, std::byte tag,
                              std::uint64_t low, StreamWriter& stream, SavedSub& saved) {
  const SubIndexGeometry& g = sub.geometry();
  saved.low = low;
  saved.high = sub.high();
  // A save that did not fit is repeated with fewer chapters.
  saved.entries = 0;
  saved.collisions = 0;
  // Few lists have collision entries: those are read out and coded one by one, the others at once.
  const std::vector<bool> marks = sub.lists_with_collisions();
  std::vector<VolumeSubIndex::Entry> entries;
  std::vector<std::byte> coded(kMaxSavedListBits / 8 + 64);
  for (std::uint32_t list = 0; list < g.lists; ++list) {
    co_await executor.give_way();
    std::uint64_t oldest = sub.high();
    std::uint64_t bits = 0;
    if (marks[list]) {
      entries.clear();
      sub.read_list(list, low, entries);
      bits = code_list(g, entries, coded.data(), saved, oldest);
    } else {
      const JoinedList joined = sub.code_list(list, low, coded.data());
      saved.entries += joined.entries;
      oldest -= joined.oldest_age;
      bits = joined.bits;
    }
    executor.spend(units_of_list(bits));
    // No entry is older, as the format wants it; of an empty list the newest chapter (index.md,
    // 16.3).
    saved.flush[list] = oldest;
    saved.lengths[list] = static_cast<std::uint16_t>(bits);
    if (bits == 0) continue;
    const std::uint64_t bytes = (bits + 7) / 8;
    std::byte* at = stream.append(kListHeaderSize + bytes);
    store_u8(at, std::to_integer<std::uint8_t>(tag));
    // Bit offset 0, always: longer lists than 65528 bits would not load with another.
    store_u8(at + 1, 0);
    store_le16(at + 2, static_cast<std::uint16_t>(bytes));
    store_le32(at + 4, list);
    std::memcpy(at + kListHeaderSize, coded.data(), bytes);
    if (stream.needs_drain()) {
      auto drained = co_await stream.drain();
      if (!drained) co_return std::move(drained).error();
    }
  }
  co_return Result<void>{};
}

void encode_headers(const VolumeIndex& index, const std::vector<SavedSub>& saved,
                    std::uint64_t volume_nonce, MutableBytes bytes) {
  ByteWriter writer(bytes);
  if (index.subs().size() > 1) {
    put_text(writer, kSparseMagic);
    writer.le32(kSparseSampleRate);
  }
  for (std::size_t i = 0; i < saved.size(); ++i) {
    const std::uint32_t lists = index.subs()[i].geometry().lists;
    put_text(writer, kVolumeMagic);
    writer.le64(volume_nonce);
    writer.le64(saved[i].low);
    writer.le64(saved[i].high);
    writer.le32(0);
    writer.le32(lists);
    for (const std::uint64_t flush : saved[i].flush) writer.le64(flush);
    put_text(writer, kDeltaMagic);
    writer.le32(0);  // zone 0 of
    writer.le32(1);
    writer.le32(0);
    writer.le32(lists);
    writer.le64(saved[i].entries);
    writer.le64(saved[i].collisions);
    for (const std::uint16_t length : saved[i].lengths) writer.le16(length);
  }
}

Error damaged(std::string_view what) {
  return {Errc::corrupt, "the saved volume index is damaged: " + std::string(what)};
}

/// Reads the headers of one zone.
Task<Result<void>> load_headers(const VolumeIndex& index, StreamReader& stream, std::uint32_t zone,
                                std::uint32_t zones, std::uint64_t volume_nonce,
                                std::vector<SavedSub>& saved) {
  if (index.subs().size() > 1) {
    auto read = co_await stream.require(kSparseHeaderSize);
    if (!read) co_return std::move(read).error();
    ByteReader reader(stream.bytes().first(kSparseHeaderSize));
    const bool magic = is_text(reader, kSparseMagic);
    if (!magic || reader.le32() != kSparseSampleRate) co_return damaged("no sparse header");
    stream.consume(kSparseHeaderSize);
  }
  for (std::size_t i = 0; i < saved.size(); ++i) {
    const std::uint32_t lists = index.subs()[i].geometry().lists;
    const std::uint32_t per_zone = (lists + zones - 1) / zones;
    const std::uint64_t first = std::min<std::uint64_t>(std::uint64_t{zone} * per_zone, lists);
    const std::uint64_t count = std::min<std::uint64_t>(per_zone, lists - first);
    constexpr std::size_t kHalf = kFixedHeaderSize / 2;
    auto read = co_await stream.require(kHalf);
    if (!read) co_return std::move(read).error();
    ByteReader volume(stream.bytes().first(kHalf));
    if (!is_text(volume, kVolumeMagic)) co_return damaged("no header");
    if (volume.le64() != volume_nonce) co_return damaged("it belongs to another index");
    const std::uint64_t low = volume.le64();
    const std::uint64_t high = volume.le64();
    // index.md, 8.5: the newest chapter is the same in all zones, and the greatest low counts.
    if (zone > 0 && high != saved[i].high) co_return damaged("its zones disagree");
    if (volume.le32() != first || volume.le32() != count || low > high) {
      co_return damaged("its lists are misplaced");
    }
    saved[i].low = std::max(saved[i].low, low);
    saved[i].high = high;
    stream.consume(kHalf);
    for (std::uint64_t list = first; list < first + count; ++list) {
      if (!stream.has(8)) {
        auto more = co_await stream.require(8);
        if (!more) co_return std::move(more).error();
      }
      saved[i].flush[list] = load_le64(stream.bytes().data());
      stream.consume(8);
    }
    auto again = co_await stream.require(kHalf);
    if (!again) co_return std::move(again).error();
    ByteReader delta(stream.bytes().first(kHalf));
    if (!is_text(delta, kDeltaMagic)) co_return damaged("no header of lists");
    bool agrees = delta.le32() == zone;
    agrees = delta.le32() == zones && agrees;
    agrees = delta.le32() == first && agrees;
    agrees = delta.le32() == count && agrees;
    if (!agrees) co_return damaged("its zones are misnumbered");
    stream.consume(kHalf);
    for (std::uint64_t list = first; list < first + count; ++list) {
      if (!stream.has(2)) {
        auto more = co_await stream.require(2);
        if (!more) co_return std::move(more).error();
      }
      saved[i].lengths[list] = load_le16(stream.bytes().data());
      stream.consume(2);
    }
  }
  co_return Result<void>{};
}

/// Decodes a list of the format. False if it is malformed.
bool decode_list(const SubIndexGeometry& g, const SavedSub& saved, std::uint64_t flush,
                 DeltaListReader reader, std::vector<RecordName>& names,
                 std::vector<VolumeSubIndex::Entry>& entries) {
  const std::uint64_t mask = low_bits(g.chapter_bits);
  // Entries of chapters from `flush` to before low are expired, though not removed yet (index.md,
  // 8.3).
  const std::uint64_t expired = flush < saved.low ? std::min(saved.low - flush, mask + 1) : 0;
  DeltaEntry entry;
  auto step = DeltaListReader::Step::entry;
  while ((step = reader.next(entry)) == DeltaListReader::Step::entry) {
    // No address has more bits: the list is not what it says.
    if (entry.key >> g.address_bits != 0) return false;
    if (((entry.payload - flush) & mask) < expired) continue;
    // index.md, 8.2.
    const std::uint64_t chapter = saved.low + ((entry.payload - saved.low) & mask);
    const RecordName* collision = nullptr;
    if (entry.is_collision) {
      names.push_back(entry.name);
      collision = &names.back();
    }
    entries.push_back({static_cast<std::uint32_t>(entry.key), chapter, collision});
  }
  return step == DeltaListReader::Step::end;
}

/// Where the bits of a saved list are.
struct ListPlace {
  unsigned begin = 0;    ///< the first bit behind the header
  std::size_t size = 0;  ///< bytes, with the header
};
/// By its header, which is at hand; nothing if it is not that of `list`, which has so many bits.
std::optional<ListPlace> place_of_list(const std::byte* header, std::byte tag, std::uint64_t list,
                                       std::uint64_t bits) {
  const unsigned offset = load_u8(header + 1);
  const std::uint64_t bytes = load_le16(header + 2);
  if (header[0] != tag || offset > 7 || bytes != (offset + bits + 7) / 8 ||
      load_le32(header + 4) != list) {
    return std::nullopt;
  }
  return ListPlace{offset, kListHeaderSize + bytes};
}

/// Lists of one zone, in ascending order; those that are empty are not in the stream.
Task<Result<void>> load_lists(Executor& executor, VolumeSubIndex& sub, std::byte tag,
                              const SavedSub& saved, std::uint32_t zone, std::uint32_t zones,
                              StreamReader& stream) {
  const SubIndexGeometry& g = sub.geometry();
  const std::uint64_t per_zone = (g.lists + zones - 1) / zones;
  const std::uint64_t first = std::min<std::uint64_t>(zone * per_zone, g.lists);
  const std::uint64_t last = std::min<std::uint64_t>(first + per_zone, g.lists);
  std::vector<VolumeSubIndex::Entry> entries;
  // Entries point into it: as many collision entries as a list can have, so that it never moves.
  std::vector<RecordName> names;
  names.reserve(kMaxDeltaListBits / kNameBits + 1);
  // Nothing that the save has is to be left out for being too new.
  const bool all_fit = sub.high() == saved.high;
  const auto may_stay_coded = [&](std::uint64_t list) {
    return all_fit && saved.flush[list] >= sub.low();
  };
  constexpr std::size_t kMostOfList = kListHeaderSize + kMaxDeltaListBits / 8 + 2;
  for (std::uint64_t list = first; list < last; ++list) {
    const std::uint64_t bits = saved.lengths[list];
    if (bits == 0) continue;
    co_await executor.give_way();
    executor.spend(units_of_list(bits));
    if (!stream.has(2 * kMostOfList)) {
      auto read = co_await stream.require(kListHeaderSize);
      if (!read) co_return std::move(read).error();
    }
    const auto place = place_of_list(stream.bytes().data(), tag, list, bits);
    if (!place) co_return damaged("a list is not where it should be");
    if (!stream.has(place->size)) {
      auto read = co_await stream.require(place->size);
      if (!read) co_return std::move(read).error();
    }
    const std::byte* at = stream.bytes().data();
    const auto number = static_cast<std::uint32_t>(list);
    const CodedList coded{at + kListHeaderSize, place->begin, place->begin + bits};
    // Two at once, if the next one is at hand.
    CodedList next_coded;
    std::size_t size_of_next = 0;
    if (list + 1 < last && saved.lengths[list + 1] > 0 && stream.has(2 * kMostOfList) &&
        may_stay_coded(list + 1)) {
      const std::uint64_t bits_of_next = saved.lengths[list + 1];
      const auto next = place_of_list(at + place->size, tag, list + 1, bits_of_next);
      if (!next) co_return damaged("a list is not where it should be");
      next_coded = {at + place->size + kListHeaderSize, next->begin, next->begin + bits_of_next};
      size_of_next = next->size;
    }
    // The fast way: no entry has expired or is too new, so the bits are taken over. What it cannot
    // take is decoded entry by entry.
    if (may_stay_coded(list)) {
      const unsigned loaded = sub.load_coded_lists(number, coded, next_coded);
      if (loaded > 0) {
        stream.consume(place->size + (loaded == 2 ? size_of_next : 0));
        list += loaded - 1;
        continue;
      }
    }
    entries.clear();
    names.clear();
    DeltaListReader reader(coded.bits, coded.begin, coded.end, g.code, g.chapter_bits);
    if (!decode_list(g, saved, saved.flush[list], reader, names, entries)) {
      co_return damaged("a list cannot be decoded");
    }
    sub.load_list(number, entries);
    stream.consume(place->size);
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<void>> save_volume_index(Executor& executor, const VolumeIndex& index, Device& device,
                                     IndexRegion zone, std::uint64_t volume_nonce) {
  const std::size_t count = index.subs().size();
  const std::uint64_t headers = header_size(index);
  // Headers need the lengths of the lists behind them; so they are written last.
  const std::uint64_t shared = headers % kBlockSize;
  const std::uint64_t whole_blocks = headers / kBlockSize;
  std::vector<SavedSub> saved;
  for (const VolumeSubIndex& sub : index.subs()) saved.emplace_back(sub);
  std::vector<std::uint64_t> low(count);
  for (std::size_t i = 0; i < count; ++i) low[i] = index.subs()[i].low();

  PageMemory header_memory((whole_blocks + 1) * kBlockSize);
  if (zone.blocks <= whole_blocks) {
    co_return Error(Errc::out_of_range, "the saved index does not fit into its space");
  }
  // Round by round, with fewer of the oldest chapters each time, until the kernel would have room.
  for (bool fits = false; !fits;) {
    StreamWriter stream(device, zone.start + whole_blocks, zone.blocks - whole_blocks);
    // The first block is shared with the headers; it is kept, and written with them.
    std::memset(stream.append(shared), 0, shared);
    fits = true;
    for (std::size_t i = 0; i < count; ++i) {
      const VolumeSubIndex& sub = index.subs()[i];
      auto written = co_await save_lists(executor, sub, tag_of(index, i), low[i], stream, saved[i]);
      if (written && fits_kernel(sub.geometry(), saved[i].lengths)) continue;
      // Names of very many collision entries may not even fit into the region.
      // A stream that leaves its region has failed as a whole: it is begun again.
      const bool overflows = !written && written.error().code() == Errc::out_of_range;
      if (!written && !overflows) co_return std::move(written).error();
      if (low[i] > sub.high()) {
        co_return Error(Errc::out_of_range, "the names of the index do not fit into its save");
      }
      fits = false;
      // An eighth of the chapters, where much is too much, and otherwise a sixty-fourth.
      low[i] += (sub.high() - low[i]) / (overflows ? 8 : 64) + 1;
      if (overflows) break;
    }
    if (!fits) continue;
    std::byte* guard = stream.append(kGuardSize);
    std::memset(guard, 0, kGuardSize);
    guard[0] = kGuardTag;
    auto finished = co_await stream.finish();
    if (!finished) co_return std::move(finished).error();
  }
  // The block that headers and lists share was written with the lists: it is read back and
  // completed.
  std::byte* tail = header_memory.data() + whole_blocks * kBlockSize;
  const std::uint64_t tail_offset = (zone.start + whole_blocks) * kBlockSize;
  auto read = co_await device.read(tail_offset, {tail, kBlockSize});
  if (!read) co_return std::move(read).error();
  encode_headers(index, saved, volume_nonce, {header_memory.data(), headers});
  auto written = co_await device.write(zone.start * kBlockSize, header_memory.bytes());
  co_return written;
}

Task<Result<void>> load_volume_index(Executor& executor, VolumeIndex& index, Device& device,
                                     std::span<const IndexRegion> zones, std::uint64_t volume_nonce,
                                     std::uint64_t newest, std::uint64_t end) {
  std::vector<SavedSub> saved;
  for (const VolumeSubIndex& sub : index.subs()) saved.emplace_back(sub);
  const auto zone_count = static_cast<std::uint32_t>(zones.size());
  std::vector<std::unique_ptr<StreamReader>> streams;
  for (std::uint32_t zone = 0; zone < zone_count; ++zone) {
    // All headers of all zones come before any list of theirs is needed: low is the greatest of
    // all.
    streams.push_back(
        std::make_unique<StreamReader>(device, zones[zone].start, zones[zone].blocks));
    auto read = co_await load_headers(index, *streams[zone], zone, zone_count, volume_nonce, saved);
    if (!read) co_return std::move(read).error();
  }
  for (std::size_t i = 0; i < saved.size(); ++i) {
    if (saved[i].high != newest) co_return damaged("it does not belong to this save");
    // Entries of the chapter that was open then are left out where that chapter is gone (end =
    // newest).
    if (end > 0) index.subs()[i].set_range(saved[i].low, std::min(newest, end - 1));
  }
  for (std::uint32_t zone = 0; zone < zone_count && end > 0; ++zone) {
    for (std::size_t i = 0; i < saved.size(); ++i) {
      auto read = co_await load_lists(executor, index.subs()[i], tag_of(index, i), saved[i], zone,
                                      zone_count, *streams[zone]);
      if (!read) co_return std::move(read).error();
    }
    auto guard = co_await streams[zone]->require(kGuardSize);
    if (!guard) co_return std::move(guard).error();
    if (streams[zone]->bytes()[0] != kGuardTag) co_return damaged("its end is missing");
    streams[zone].reset();
  }
  for (VolumeSubIndex& sub : index.subs()) sub.finish_load();
  co_return Result<void>{};
}

}  // namespace uvdo
