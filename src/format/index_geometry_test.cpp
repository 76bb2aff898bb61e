// SPDX-License-Identifier: GPL-2.0-or-later
// The sizes of indexes against the tables of the format.
#include "format/index_geometry.h"

#include <array>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

struct Row {
  std::int32_t memory;
  bool sparse;
  // V, X, A, O, W and the whole region, in blocks
  std::array<std::uint64_t, 6> blocks;
};

constexpr Row kTable[] = {
    {-256, false, {573448, 52321, 3, 513, 52838, 679127}},
    {-256, true, {5734408, 43380, 26, 513, 43920, 5822251}},
    {-1280, false, {572888, 52321, 3, 513, 52838, 678567}},
    {-1280, true, {5733848, 43380, 26, 513, 43920, 5821691}},
    {-512, false, {1155080, 104625, 7, 1025, 105658, 1366399}},
    {-512, true, {11550728, 86727, 61, 1025, 87814, 11726359}},
    {-1536, false, {1153952, 104625, 6, 1025, 105657, 1365269}},
    {-1536, true, {11549600, 86727, 60, 1025, 87813, 11725229}},
    {-768, false, {1736712, 156929, 10, 1537, 158477, 2053669}},
    {-768, true, {17367048, 130074, 96, 1537, 131708, 17630467}},
    {-1792, false, {1735016, 156929, 10, 1537, 158477, 2051973}},
    {-1792, true, {17365352, 130074, 95, 1537, 131707, 17628769}},
    {1, false, {2310152, 209233, 13, 2049, 211296, 2732747}},
    {1, true, {23101448, 173421, 126, 2049, 175597, 23452645}},
    {4097, false, {2307896, 209233, 13, 2049, 211296, 2730491}},
    {4097, true, {23099192, 173421, 125, 2049, 175596, 23450387}},
    {2, false, {4620296, 435889, 26, 2049, 437965, 5496229}},
    {2, true, {46202888, 360697, 251, 2049, 362998, 46928887}},
    {4, false, {9240584, 906609, 51, 2049, 908710, 11058007}},
    {4, true, {92405768, 749153, 501, 2049, 751704, 93909179}},
};

TEST(IndexGeometry, RegionSizesAreThoseOfTheTable) {
  for (const Row& row : kTable) {
    SCOPED_TRACE(testing::Message() << row.memory << (row.sparse ? " sparse" : " dense"));
    const IndexGeometry g = compute_index_geometry(IndexMemory{row.memory}, row.sparse).value();
    const std::array<std::uint64_t, 6> blocks{g.volume_blocks,   g.volume_index_blocks,
                                              g.page_map_blocks, g.open_chapter_blocks,
                                              g.save_blocks,     g.region_blocks};
    EXPECT_EQ(blocks, row.blocks);
  }
}

TEST(IndexGeometry, ChaptersAreThoseOfTheTable) {
  struct Chapter {
    std::int32_t memory;
    std::array<std::uint32_t, 7> sizes;  // R, K, I, pages a chapter, b, payload, address
  };
  constexpr Chapter kChapters[] = {{-256, {64, 65536, 6, 70, 10, 6, 22}},
                                   {-512, {128, 131072, 13, 141, 11, 7, 22}},
                                   {-768, {192, 196608, 20, 212, 12, 8, 22}},
                                   {1, {256, 262144, 26, 282, 12, 8, 22}},
                                   {7, {256, 262144, 26, 282, 12, 8, 22}}};
  for (const Chapter& row : kChapters) {
    const IndexGeometry g = compute_index_geometry(IndexMemory{row.memory}, false).value();
    const std::array<std::uint32_t, 7> sizes{g.record_pages_per_chapter, g.records_per_chapter,
                                             g.index_pages_per_chapter,  g.pages_per_chapter,
                                             g.chapter_list_bits,        g.chapter_payload_bits,
                                             g.chapter_address_bits};
    EXPECT_EQ(sizes, row.sizes) << row.memory;
    EXPECT_EQ(g.chapter_lists, 1U << g.chapter_list_bits);
    EXPECT_EQ(g.chapter_code, (DeltaCode{16, 20110, 45426}));
  }
}

TEST(IndexGeometry, SubIndexesAreThoseOfTheTable) {
  struct Sub {
    std::int32_t memory;
    std::uint64_t dense_lists, dense_bits, dense_memory;
    std::uint64_t names_lists, names_bits, names_memory;
    std::uint64_t hooks_lists, hooks_bits, hooks_memory;
  };
  constexpr Sub kSubs[] = {
      {-256, 262144, 10, 209776476, 126976, 9, 97286630, 81920, 14, 76713472},
      {-512, 524288, 10, 419552952, 253952, 9, 194573260, 163840, 14, 153426944},
      {-768, 786432, 10, 629329428, 380928, 9, 291859891, 245760, 14, 230140416},
      {1, 1048576, 10, 839105904, 507904, 9, 389146521, 327680, 14, 306853888},
      {2, 2097152, 11, 1749625077, 1015808, 10, 812883845, 655360, 15, 636024422},
      {4, 4194304, 12, 3642076692, 2031616, 11, 1694949294, 1310720, 16, 1316682137}};
  for (const Sub& row : kSubs) {
    SCOPED_TRACE(row.memory);
    const IndexGeometry d = compute_index_geometry(IndexMemory{row.memory}, false).value();
    EXPECT_EQ(d.dense.lists, row.dense_lists);
    EXPECT_EQ(d.dense.chapter_bits, row.dense_bits);
    EXPECT_EQ(d.dense.list_memory, row.dense_memory);
    EXPECT_EQ(d.dense.address_bits, 20U);
    const IndexGeometry s = compute_index_geometry(IndexMemory{row.memory}, true).value();
    EXPECT_EQ(s.dense.lists, row.names_lists);
    EXPECT_EQ(s.dense.chapter_bits, row.names_bits);
    EXPECT_EQ(s.dense.list_memory, row.names_memory);
    EXPECT_EQ(s.hooks.lists, row.hooks_lists);
    EXPECT_EQ(s.hooks.chapter_bits, row.hooks_bits);
    EXPECT_EQ(s.hooks.list_memory, row.hooks_memory);
  }
  const IndexGeometry quarter = compute_index_geometry(kQuarterGigabyte, false).value();
  EXPECT_EQ(quarter.dense.mean_delta, 4080U);
  EXPECT_EQ(quarter.dense.code, (DeltaCode{12, 1268, 2828}));
  EXPECT_EQ(quarter.dense.zone_memory(1), 209780736U);
  EXPECT_EQ(quarter.dense.zone_memory(2), 104923136U);
}

TEST(IndexGeometry, RefusesMemorySizesThatNoIndexHas) {
  for (const std::int32_t value :
       {0, -1, -255, -1024, -1281, -2048, 1025, 4096, 5121,
        std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    EXPECT_FALSE(compute_index_geometry(IndexMemory{value}, false).ok()) << value;
    EXPECT_FALSE(compute_index_geometry(IndexMemory{value}, true).ok()) << value;
  }
  EXPECT_TRUE(compute_index_geometry(IndexMemory{1024}, true).ok());
  EXPECT_TRUE(compute_index_geometry(IndexMemory{4096 + 1024}, true).ok());
}

TEST(IndexMemory, IsReadAndWrittenAsPeopleDo) {
  for (const char* text : {"0.25", "0.5", "0.75", "1", "17", "1024"}) {
    EXPECT_EQ(to_text(parse_index_memory(text).value()), text);
  }
  for (const char* text : {"", "0", "0.3", "1025", "-1", "1.5", "2 ", "x", "99999999999999"}) {
    EXPECT_FALSE(parse_index_memory(text).ok()) << text;
  }
  EXPECT_EQ(to_text(IndexMemory{-1280}), "reduced 0.25");
  EXPECT_EQ(to_text(IndexMemory{-1792}), "reduced 0.75");
  EXPECT_EQ(to_text(IndexMemory{4099}), "reduced 3");
  EXPECT_EQ(to_text(IndexMemory{0}), "unknown (0)");
}

}  // namespace
}  // namespace uvdo
