// SPDX-License-Identifier: GPL-2.0-or-later
// The saved volume index: what is written loads again, in one zone or in several, as the kernel
// with several index threads writes it.
#include "index/volume_index_save.h"

#include <random>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "index/delta_list.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kNonce = 0xABCDEF;

RecordName name_of(std::uint64_t number, unsigned spread) {
  RecordName name;
  std::uint64_t x = number * 0x9E3779B97F4A7C15U + 0xD1B54A32D192ED03U;
  for (std::byte* p = name.bytes.data(); p < name.bytes.data() + 16; p += 8) {
    x = (x ^ x >> 30U) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27U) * 0x94D049BB133111EBU;
    x ^= x >> 31U;
    store_be64(p, p == name.bytes.data() ? (x & low_bits(spread)) * 0x9E3779B97F4A7C15U : x);
  }
  return name;
}

/// Names first..last-1, each not yet known or in the place of another one's.
void post(VolumeIndex& index, std::uint64_t first, std::uint64_t last, std::uint64_t per_chapter,
          unsigned spread) {
  for (std::uint64_t i = first; i < last; ++i) {
    const RecordName name = name_of(i, spread);
    const VolumeIndex::Place place = index.place_of(name);
    const std::uint64_t newest = place.sub->high();
    if (place.sub->find(place.at, name).kind == VolumeSubIndex::Kind::none) {
      place.sub->put_plain(place.at, newest);
    } else {
      place.sub->put_collision(place.at, name, newest);
    }
    if (i % per_chapter == per_chapter - 1) index.advance_to(newest + 1);
  }
}

/// The saved form as of `zones` zones: lists begin at odd bits, and expired entries are in it.
std::vector<std::byte> encode_zone(VolumeIndex& index, std::uint32_t zone, std::uint32_t zones,
                                   std::uint64_t& entries) {
  const VolumeSubIndex& sub = index.subs()[0];
  const SubIndexGeometry& g = sub.geometry();
  const std::uint32_t per_zone = (g.lists + zones - 1) / zones;
  const std::uint32_t first = zone * per_zone;
  const std::uint32_t last = std::min(first + per_zone, g.lists);
  std::vector<std::byte> lists;
  std::vector<std::uint16_t> lengths;
  std::vector<std::uint64_t> flush;
  std::vector<VolumeSubIndex::Entry> of_list;
  std::vector<std::byte> coded(1U << 16U);
  std::uint64_t count = 0;
  for (std::uint32_t list = first; list < last; ++list) {
    of_list.clear();
    sub.read_list(list, sub.low(), of_list);
    const unsigned offset = list % 8;
    std::fill(coded.begin(), coded.end(), std::byte{0xA5});
    BitWriter writer(coded.data(), offset);
    std::uint32_t key = 0;
    std::uint64_t oldest = sub.high();
    for (std::size_t i = 0; i < of_list.size(); ++i) {
      const VolumeSubIndex::Entry& entry = of_list[i];
      put_entry(writer, g.code, g.chapter_bits, entry.chapter & low_bits(g.chapter_bits),
                entry.address - key);
      const bool is_collision = i > 0 && entry.address == key;
      if (is_collision) writer.put_bytes(entry.collision->bytes);
      key = entry.address;
      oldest = std::min(oldest, entry.chapter);
      ++count;
    }
    const std::uint64_t bits = writer.position(coded.data()) - offset;
    lengths.push_back(static_cast<std::uint16_t>(bits));
    flush.push_back(oldest);
    if (bits == 0) continue;
    const std::uint64_t bytes = (offset + bits + 7) / 8;
    const std::size_t at = lists.size();
    lists.resize(at + 8 + bytes);
    store_u8(lists.data() + at, 'm');
    store_u8(lists.data() + at + 1, static_cast<std::uint8_t>(offset));
    store_le16(lists.data() + at + 2, static_cast<std::uint16_t>(bytes));
    store_le32(lists.data() + at + 4, list);
    std::memcpy(lists.data() + at + 8, coded.data(), bytes);
  }
  std::vector<std::byte> all(80 + 10 * (last - first));
  ByteWriter writer(all);
  writer.bytes(std::as_bytes(std::span("MI5-0005", 8)));
  writer.le64(kNonce);
  writer.le64(sub.low());
  writer.le64(sub.high());
  writer.le32(first);
  writer.le32(last - first);
  for (const std::uint64_t chapter : flush) writer.le64(chapter);
  writer.bytes(std::as_bytes(std::span("DI-00002", 8)));
  writer.le32(zone);
  writer.le32(zones);
  writer.le32(first);
  writer.le32(last - first);
  // Only the sum over the zones means anything: the first zone has borrowed from the others.
  writer.le64(zone == 0 ? count - 1000 : count + 1000 / (zones - 1));
  writer.le64(0);
  for (const std::uint16_t length : lengths) writer.le16(length);
  all.insert(all.end(), lists.begin(), lists.end());
  const std::byte guard[8] = {std::byte{'z'}};
  all.insert(all.end(), std::begin(guard), std::end(guard));
  all.resize((all.size() + kBlockSize - 1) / kBlockSize * kBlockSize);
  entries += count;
  return all;
}

class VolumeIndexSave : public ::testing::Test {
 protected:
  void make_device(std::uint64_t blocks) {
    auto made = MemoryDevice::create(blocks * kBlockSize);
    ASSERT_TRUE(made.ok());
    device_ = std::move(*made);
  }
  bool save(const VolumeIndex& index, IndexRegion zone) {
    bool ok = false;
    run([](Executor& executor, const VolumeIndex& saved, Device& device, IndexRegion region,
           bool& result) -> Task<void> {
      const auto done = co_await save_volume_index(executor, saved, device, region, kNonce);
      result = done.ok();
    }(executor_, index, *device_, zone, ok));
    return ok;
  }
  bool load(VolumeIndex& index, std::span<const IndexRegion> zones, std::uint64_t newest) {
    bool ok = false;
    run([](Executor& executor, VolumeIndex& loaded, Device& device,
           std::span<const IndexRegion> regions, std::uint64_t chapter,
           bool& result) -> Task<void> {
      const auto done = co_await load_volume_index(executor, loaded, device, regions, kNonce,
                                                   chapter, chapter + 1);
      result = done.ok();
    }(executor_, index, *device_, zones, newest, ok));
    return ok;
  }
  void run(Task<void> task) {
    const auto outcome = executor_.run(std::move(task));
    ASSERT_TRUE(outcome) << outcome.why;
  }
  /// All names of `index` give the same answer in `copy`.
  static void expect_same(VolumeIndex& index, VolumeIndex& copy, std::uint64_t names,
                          unsigned spread) {
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < names; ++i) {
      const RecordName name = name_of(i, spread);
      const VolumeIndex::Place place = index.place_of(name);
      const auto expected = place.sub->find(place.at, name);
      const VolumeIndex::Place there = copy.place_of(name);
      const auto actual = there.sub->find(there.at, name);
      if (expected.kind == VolumeSubIndex::Kind::none) continue;
      // A collision entry whose plain entry has expired takes its place.
      ASSERT_NE(actual.kind, VolumeSubIndex::Kind::none) << i;
      if (actual.kind == expected.kind) {
        ASSERT_EQ(actual.chapter, expected.chapter) << i;
      }
      ++found;
    }
    EXPECT_GT(found, names / 20);
    for (const VolumeSubIndex& sub : copy.subs()) sub.validate();
  }

  SimExecutor executor_{SimExecutorOptions{.seed = 1}};
  std::unique_ptr<MemoryDevice> device_;
};

TEST_F(VolumeIndexSave, ComesBackDenseAndSparseWithCollisionsAfterChaptersHaveWrapped) {
  for (const bool sparse : {false, true}) {
    for (const unsigned spread : {63U, 24U}) {
      SCOPED_TRACE(testing::Message() << "sparse " << sparse << " spread " << spread);
      const IndexGeometry geometry = index_geometry_of(2, 64, sparse ? 32 : 0);
      VolumeIndex index(geometry);
      const std::uint64_t names = std::uint64_t{geometry.records_per_chapter} * 110;
      post(index, 0, names, geometry.records_per_chapter, spread);
      const IndexRegion zone{1, geometry.volume_index_blocks, 302, 0};
      make_device(zone.blocks + 1);
      ASSERT_TRUE(save(index, zone));
      VolumeIndex copy(geometry);
      ASSERT_TRUE(load(copy, {&zone, 1}, index.subs()[0].high()));
      expect_same(index, copy, names, spread);
    }
  }
}

TEST_F(VolumeIndexSave, LeavesOutTheOldestChaptersWhenCollisionsTakeTooMuchRoom) {
  const IndexGeometry geometry = index_geometry_of(2, 64, 0);
  VolumeIndex index(geometry);
  const std::uint64_t names = std::uint64_t{geometry.records_per_chapter} * 40;
  // Four names to a place: three in four entries carry their names, 18 bytes each.
  post(index, 0, names, geometry.records_per_chapter, 15);
  const IndexRegion zone{0, geometry.volume_index_blocks, 302, 0};
  make_device(zone.blocks);
  ASSERT_TRUE(save(index, zone));
  VolumeIndex copy(geometry);
  ASSERT_TRUE(load(copy, {&zone, 1}, index.subs()[0].high()));
  EXPECT_LT(copy.entries(), index.entries());
  EXPECT_GT(copy.entries(), index.entries() / 20);
  // The newest are there.
  for (std::uint64_t i = names - 1000; i < names; ++i) {
    const VolumeIndex::Place place = copy.place_of(name_of(i, 15));
    ASSERT_NE(place.sub->find(place.at, name_of(i, 15)).kind, VolumeSubIndex::Kind::none);
  }
}

TEST_F(VolumeIndexSave, LoadsWhatSeveralZonesHaveSaved) {
  const IndexGeometry geometry = index_geometry_of(2, 64, 0);
  VolumeIndex index(geometry);
  const std::uint64_t names = geometry.records_per_chapter * 100;
  post(index, 0, names, geometry.records_per_chapter, 63);
  for (const std::uint32_t zones : {2U, 3U, 7U, 16U}) {
    SCOPED_TRACE(testing::Message() << zones << " zones");
    std::vector<IndexRegion> regions;
    std::vector<std::vector<std::byte>> contents;
    std::uint64_t at = 0;
    std::uint64_t entries = 0;

    for (std::uint32_t zone = 0; zone < zones; ++zone) {
      contents.push_back(encode_zone(index, zone, zones, entries));
      const std::uint64_t blocks = contents.back().size() / kBlockSize + zone;
      regions.push_back({at, blocks, 302, static_cast<std::uint16_t>(zone)});
      at += blocks;
    }
    make_device(at);
    for (std::uint32_t zone = 0; zone < zones; ++zone) {
      std::copy(
          contents[zone].begin(), contents[zone].end(),
          device_->bytes().begin() + static_cast<std::ptrdiff_t>(regions[zone].start * kBlockSize));
    }
    VolumeIndex copy(geometry);
    ASSERT_TRUE(load(copy, regions, index.subs()[0].high()));
    EXPECT_EQ(copy.entries(), entries);
    expect_same(index, copy, names, 63);
    // Another number of zones than the streams say.
    VolumeIndex wrong(geometry);
    regions.pop_back();
    EXPECT_FALSE(load(wrong, regions, index.subs()[0].high()));
  }
}

TEST_F(VolumeIndexSave, BytesThatAreDamagedAnywhereLoadSoundlyOrNotAtAll) {
  const IndexGeometry geometry = index_geometry_of(1, 16, 0);
  VolumeIndex index(geometry);
  post(index, 0, geometry.records_per_chapter * 20, geometry.records_per_chapter, 63);
  const IndexRegion zone{0, geometry.volume_index_blocks, 302, 0};
  make_device(zone.blocks);
  ASSERT_TRUE(save(index, zone));
  const std::vector<std::byte> good(device_->bytes().begin(), device_->bytes().end());
  std::mt19937_64 random(3);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::copy(good.begin(), good.end(), device_->bytes().begin());
    // Most of the damage hits the headers, which have the most to say.
    const std::uint64_t within = i % 2 == 0 ? 80 + 10 * geometry.dense.lists : 24000;
    for (int j = 0; j < 3; ++j) {
      device_->bytes()[random() % within] = static_cast<std::byte>(random());
    }
    VolumeIndex copy(geometry);
    if (load(copy, {&zone, 1}, index.subs()[0].high())) {
      for (const VolumeSubIndex& sub : copy.subs()) sub.validate();
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace uvdo
