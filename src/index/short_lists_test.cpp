// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/short_lists.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "index/delta_list.h"

namespace uvdo {
namespace {

struct Entry {
  std::uint64_t address = 0;
  std::uint64_t chapter = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};

constexpr unsigned kAddressBits = 20;
constexpr std::uint64_t kChapterMask = 1023;

ListCoding coding_for(std::uint64_t mean_delta) {
  SubIndexGeometry geometry;
  geometry.address_bits = kAddressBits;
  geometry.chapter_bits = 10;
  geometry.code = delta_code_of(mean_delta);
  return ListCoding(geometry);
}

std::vector<Entry> random_entries(std::mt19937_64& random, std::size_t count) {
  std::vector<Entry> entries(count);
  for (Entry& entry : entries) {
    entry = {random() % (1U << kAddressBits), random() & kChapterMask};
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.address < b.address; });
  const auto same = [](const Entry& a, const Entry& b) { return a.address == b.address; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  return entries;
}

/// The list in the form of storage, at bit `begin`; garbage is around it.
struct Coded {
  std::vector<std::byte> bytes;
  CodedList list;

  Coded(const ListCoding& coding, const std::vector<Entry>& entries, std::uint64_t begin)
      : bytes(16384, std::byte{0xA5}) {
    BitWriter writer(bytes.data(), begin);
    std::uint64_t key = 0;
    for (const Entry& entry : entries) {
      put_entry(writer, coding.code, coding.chapter_bits, entry.chapter, entry.address - key);
      key = entry.address;
    }
    list = {bytes.data(), begin, writer.position(bytes.data())};
  }
};

/// Nothing if the bits are not well-formed, or have collision entries.
std::optional<std::vector<Entry>> entries_of(const ListCoding& coding, const CodedList& list) {
  DeltaListReader reader(list.bits, list.begin, list.end, coding.code, coding.chapter_bits);
  std::vector<Entry> entries;
  DeltaEntry entry;
  auto step = DeltaListReader::Step::entry;
  while ((step = reader.next(entry)) == DeltaListReader::Step::entry) {
    if (entry.is_collision) return std::nullopt;
    entries.push_back({entry.key, entry.payload});
  }
  if (step == DeltaListReader::Step::malformed) return std::nullopt;
  return entries;
}

/// The entries of a list in the form of memory, decoded in a plain way.
std::vector<Entry> entries_of(const ListCoding& coding, const CutList& cut) {
  std::vector<Entry> entries;
  std::vector<std::byte> bytes(cut.bytes.begin(), cut.bytes.end());
  std::uint64_t from = kShortListHead;
  for (std::uint64_t i = 0; i < kShortLists; ++i) {
    const std::uint64_t size = load_u8(bytes.data() + i);
    std::uint64_t key = i << coding.short_key_bits;
    std::uint64_t at = from * 8;
    const std::uint64_t end = (from + size) * 8;
    while (at + coding.fixed_bits() <= end) {
      DeltaListReader one(bytes.data(), at, end, coding.code, coding.chapter_bits);
      DeltaEntry entry;
      EXPECT_EQ(one.next(entry), DeltaListReader::Step::entry);
      key += entry.key;
      entries.push_back({key, entry.payload});
      at += coding.chapter_bits + coded_bits(coding.code, entry.key);
    }
    from += size;
  }
  EXPECT_EQ(from, cut.size);
  return entries;
}

struct ShortLists : testing::TestWithParam<std::tuple<std::uint64_t, CodeFor>> {
  std::uint64_t seed = std::get<0>(GetParam());
  CodeFor processor = std::get<1>(GetParam());
  std::mt19937_64 random{seed};
  std::uint64_t mean_delta = 1U << (11 + seed % 4);
  ListCoding coding = coding_for(mean_delta);
  CutList first;
  CutList second;
  std::array<std::byte, kMaxJoinedBytes + 64> joined{};

  /// About as many as the code is made for, or a few.
  std::vector<Entry> some_entries() {
    const std::uint64_t full = (1U << kAddressBits) / mean_delta;
    const std::uint64_t count = random() % 8 == 0 ? random() % 20 : full / 2 + random() % full;
    return random_entries(random, count);
  }
};

TEST_P(ShortLists, AreWhatWasCutAndJoinToTheSameBits) {
  for (int round = 0; round < 200; ++round) {
    const auto a = some_entries();
    const auto b = some_entries();
    const Coded coded_a(coding, a, random() % 8);
    const Coded coded_b(coding, b, random() % 8);
    const unsigned cut = cut_lists(coding, coded_a.list, coded_b.list, first, second, processor);
    // A few entries may lie so far apart that their deltas are not plain.
    if (std::min(a.size(), b.size()) >= 20) {
      ASSERT_EQ(cut, 3U);
    }
    if (cut != 3) continue;
    ASSERT_EQ(first.entries, a.size());
    ASSERT_EQ(entries_of(coding, first), a);
    ASSERT_EQ(entries_of(coding, second), b);
    const JoinedList list =
        join_lists(coding, first.bytes.data(), 5, kChapterMask, joined.data(), processor);
    ASSERT_EQ(list.entries, a.size());
    ASSERT_EQ(list.bits, coded_a.list.end - coded_a.list.begin);
    ASSERT_EQ(entries_of(coding, CodedList{joined.data(), 0, list.bits}), a);
    std::uint64_t oldest = 0;
    for (const Entry& entry : a) oldest = std::max(oldest, (5 - entry.chapter) & kChapterMask);
    ASSERT_EQ(list.oldest_age, oldest);
    if (list.bits % 8 != 0) {
      ASSERT_EQ(load_u8(joined.data() + list.bits / 8) >> (list.bits % 8), 0);
    }
  }
}

TEST_P(ShortLists, LeaveOutWhatIsTooOldWhenTheyAreJoined) {
  for (int round = 0; round < 200; ++round) {
    const auto all = some_entries();
    const Coded coded(coding, all, 0);
    if ((cut_lists(coding, coded.list, {}, first, second, processor) & 1U) == 0) continue;
    const std::uint64_t newest = random() & kChapterMask;
    const std::uint64_t max_age = random() % 4 == 0 ? random() % 20 : kChapterMask - random() % 20;
    std::vector<Entry> young;
    for (const Entry& entry : all) {
      if (((newest - entry.chapter) & kChapterMask) <= max_age) young.push_back(entry);
    }
    const JoinedList list =
        join_lists(coding, first.bytes.data(), newest, max_age, joined.data(), processor);
    ASSERT_EQ(entries_of(coding, CodedList{joined.data(), 0, list.bits}), young);
    ASSERT_EQ(list.entries, young.size());
    ASSERT_LE(list.oldest_age, max_age);
  }
}

TEST_P(ShortLists, AreNotCutFromAnythingElseThanPlainLists) {
  std::uint64_t cut_lists_seen = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto entries = some_entries();
    if (entries.empty()) continue;
    Coded coded(coding, entries, random() % 8);
    const std::uint64_t length = coded.list.end - coded.list.begin;
    for (std::uint64_t flips = random() % 3; flips > 0; --flips) {
      const std::uint64_t bit = coded.list.begin + random() % length;
      coded.bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
    if (random() % 4 == 0) coded.list.end -= random() % std::min<std::uint64_t>(length, 60);
    const auto expected = entries_of(coding, coded.list);
    if ((cut_lists(coding, {}, coded.list, first, second, processor) & 2U) == 0) continue;
    ++cut_lists_seen;
    ASSERT_TRUE(expected.has_value());
    ASSERT_EQ(entries_of(coding, second), *expected);
  }
  EXPECT_GT(cut_lists_seen, 300U);
}

TEST_P(ShortLists, AreNotCutWhenOneOfThemWouldBeTooLong) {
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < 300; ++i) entries.push_back({i, 1});
  const Coded coded(coding, entries, 3);
  EXPECT_EQ(cut_lists(coding, coded.list, {}, first, second, processor) & 1U, 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ShortLists,
                         testing::Combine(testing::Range<std::uint64_t>(1, 9),
                                          testing::Values(CodeFor::this_processor,
                                                          CodeFor::any_processor)));

}  // namespace
}  // namespace uvdo
