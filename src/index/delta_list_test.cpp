// SPDX-License-Identifier: GPL-2.0-or-later
// Delta lists against a plain list of entries, and against bytes that are no lists.
#include "index/delta_list.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

struct Entry {
  std::uint64_t key = 0;
  std::uint64_t payload = 0;
  bool is_collision = false;
  RecordName name;
};

RecordName random_name(std::mt19937_64& random) {
  RecordName name;
  store_be64(name.bytes.data(), random());
  store_be64(name.bytes.data() + 8, random());
  return name;
}

/// Codes entries from bit `at` of `bytes` on; the bit behind the last one.
std::uint64_t encode(const std::vector<Entry>& entries, const DeltaCode& code,
                     unsigned payload_bits, std::vector<std::byte>& bytes, std::uint64_t at) {
  BitWriter writer(bytes.data(), at);
  std::uint64_t last = 0;
  for (const Entry& entry : entries) {
    put_entry(writer, code, payload_bits, entry.payload, entry.key - last);
    if (entry.is_collision) writer.put_bytes(entry.name.bytes);
    last = entry.key;
  }
  return writer.position(bytes.data());
}

/// Entries of at most `limit` bits; `collisions` of a hundred are collision entries.
std::vector<Entry> random_list(std::mt19937_64& random, const DeltaCode& code,
                               unsigned payload_bits, std::uint64_t limit, std::uint64_t mean,
                               unsigned collisions) {
  std::vector<Entry> entries;
  std::uint64_t bits = 0;
  std::uint64_t key = 0;
  while (true) {
    Entry entry;
    entry.is_collision = !entries.empty() && random() % 100 < collisions;
    // Mostly near the mean, sometimes far beyond it, and the first one also 0.
    std::uint64_t delta = entry.is_collision ? 0 : 1 + random() % (2 * mean);
    if (!entry.is_collision && random() % 16 == 0) delta *= 1 + random() % 20;
    if (entries.empty() && random() % 4 == 0) delta = 0;
    bits += payload_bits + coded_bits(code, delta) + (entry.is_collision ? kNameBits : 0);
    if (bits > limit) return entries;
    key += delta;
    entry.key = key;
    entry.payload = random() & low_bits(payload_bits);
    entry.name = random_name(random);
    entries.push_back(entry);
  }
}

void expect_same(const std::vector<Entry>& entries, DeltaListReader reader) {
  DeltaEntry read;
  for (const Entry& entry : entries) {
    ASSERT_EQ(reader.next(read), DeltaListReader::Step::entry);
    ASSERT_EQ(read.key, entry.key);
    ASSERT_EQ(read.payload, entry.payload);
    ASSERT_EQ(read.is_collision, entry.is_collision);
    if (entry.is_collision) {
      ASSERT_EQ(read.name, entry.name);
    }
  }
  ASSERT_EQ(reader.next(read), DeltaListReader::Step::end);
}

/// What a search must find, by walking over the plain list (index.md, 7.4).
std::optional<DeltaMatch> find_in(const std::vector<Entry>& entries, std::uint64_t key,
                                  const RecordName& name) {
  std::optional<DeltaMatch> plain;
  for (const Entry& entry : entries) {
    if (entry.key != key) continue;
    if (entry.is_collision && entry.name == name) return DeltaMatch{entry.payload, true};
    if (!entry.is_collision) plain = DeltaMatch{entry.payload, false};
  }
  return plain;
}

void expect_match(const std::vector<Entry>& entries, const DeltaListReader& reader,
                  std::uint64_t key, const RecordName& name) {
  const auto expected = find_in(entries, key, name);
  const auto found = find_in_delta_list(reader, key, name);
  ASSERT_EQ(found.has_value(), expected.has_value());
  if (!expected) return;
  ASSERT_EQ(found->payload, expected->payload);
  ASSERT_EQ(found->is_collision, expected->is_collision);
}

TEST(DeltaList, EncodesTheVectorOfTheSpecification) {
  RecordName name;
  for (unsigned i = 0; i < 16; ++i) name.bytes[i] = static_cast<std::byte>(i * 0x11);
  const std::vector<Entry> entries{{0, 5, false, {}},      {0, 6, true, name},
                                   {1000, 7, false, {}},   {21110, 8, false, {}},
                                   {86646, 63, false, {}}, {2183798, 1, false, {}}};
  std::vector<std::byte> bytes(64);
  EXPECT_EQ(encode(entries, delta_code_of(65536), 6, bytes, 0), 309U);
  const std::string expected =
      "050080010000102132435465768798a9bacbdcedfe7fa00f208e4e7f4727037b67000000000010";
  std::string coded;
  for (std::size_t i = 0; i < expected.size() / 2; ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto byte = std::to_integer<unsigned>(bytes[i]);
    coded += kDigits[byte >> 4U];
    coded += kDigits[byte & 15U];
  }
  EXPECT_EQ(coded, expected);
}

TEST(DeltaList, ListsOfAllLengthsReadAndSearchAsTheirEntriesSay) {
  for (const std::uint64_t mean : {std::uint64_t{4080}, std::uint64_t{65536}, std::uint64_t{16}}) {
    const DeltaCode code = delta_code_of(mean);
    std::mt19937_64 random(mean);
    std::vector<std::byte> bytes(kMaxDeltaListBits / 8 + 64);
    // Every length up to 4000 bits in steps, then up to the longest that a list can have.
    for (std::uint64_t limit = 0; limit <= kMaxDeltaListBits;
         limit += limit < 4000 ? 37 : limit / 3) {
      for (const unsigned collisions : {0U, 10U, 90U}) {
        const unsigned payload_bits = 1 + static_cast<unsigned>(random() % 16);
        const auto entries = random_list(random, code, payload_bits, limit, mean, collisions);
        const std::uint64_t at = random() % 8;
        const std::uint64_t end = encode(entries, code, payload_bits, bytes, at);
        ASSERT_LE(end - at, limit);
        const DeltaListReader reader(bytes.data(), at, end, code, payload_bits);
        expect_same(entries, reader);
        for (int i = 0; i < 20 && !entries.empty(); ++i) {
          const Entry& entry = entries[random() % entries.size()];
          expect_match(entries, reader, entry.key, entry.name);
          expect_match(entries, reader, entry.key + random() % 3, random_name(random));
        }
      }
    }
    const auto longest = random_list(random, code, 6, kMaxDeltaListBits, mean, 0);
    const std::uint64_t end = encode(longest, code, 6, bytes, 0);
    EXPECT_GT(end, kMaxDeltaListBits - 500);
    expect_same(longest, {bytes.data(), 0, end, code, 6});
  }
}

TEST(DeltaList, AnyBytesReadToTheirEndAndNotBeyond) {
  std::mt19937_64 random(99);
  const DeltaCode code = delta_code_of(4080);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t bits = random() % 400;
    const std::uint64_t at = random() % 8;
    // Exactly as many bytes as the reader may touch: a sanitizer sees one more.
    std::vector<std::byte> bytes((at + bits) / 8 + 1 + kBitSlack);
    for (std::byte& byte : bytes) {
      const std::uint64_t value = random();
      byte = static_cast<std::byte>(i % 3 == 0 ? value & value >> 8U & value >> 16U : value);
    }
    DeltaListReader reader(bytes.data(), at, at + bits, code, 10);
    DeltaEntry entry;
    std::uint64_t entries = 0;
    std::uint64_t last = 0;
    auto step = DeltaListReader::Step::entry;
    while ((step = reader.next(entry)) == DeltaListReader::Step::entry) {
      ASSERT_GE(entry.key, last);
      last = entry.key;
      ++entries;
    }
    ASSERT_LE(entries, bits / (10 + code.minimum_bits));
    ASSERT_EQ(step == DeltaListReader::Step::end || step == DeltaListReader::Step::malformed, true);
  }
}

}  // namespace
}  // namespace uvdo
