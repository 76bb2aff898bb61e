// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/netlink_message.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

// As the kernel of a little-endian machine sends and takes them.
const bool kIsLittleEndian = std::endian::native == std::endian::little;

TEST(NetlinkMessage, ARequestHasTheBytesThatTheKernelTakes) {
  if (!kIsLittleEndian) GTEST_SKIP() << "the bytes are those of a little-endian machine";
  NetlinkWriter writer(0x1d, 7, 3, 1);
  writer.u32(1, 2).text(10, "ab").u64(2, 0x10000000);
  writer.begin(7).begin(1).u32(1, 5).end().end();
  EXPECT_EQ(writer.bytes(), bytes_of({
                                64,   0, 0,  0,                     // length
                                0x1d, 0,                            // family
                                5,    0,                            // a request, to be acknowledged
                                7,    0, 0,  0,                     // sequence
                                0,    0, 0,  0,                     // port
                                3,    1, 0,  0,                     // command, version
                                8,    0, 1,  0,    2,   0,   0, 0,  // index 2
                                7,    0, 10, 0,    'a', 'b', 0, 0,  // text and padding
                                12,   0, 2,  0,    0,   0,   0, 0x10, 0, 0, 0, 0,  // 256 MiB
                                16,   0, 7,  0x80, 12,  0,   1, 0x80,              // two nested
                                8,    0, 1,  0,    5,   0,   0, 0,
                            }));
}

TEST(NetlinkMessage, WhatWasWrittenIsRead) {
  NetlinkWriter writer(0x1d, 9, 5, 1);
  writer.u32(1, 77).begin(9).u32(2, 78).end().text(10, "volume");
  const std::vector<std::byte> bytes = writer.bytes();
  const auto messages = decode_netlink(bytes);
  ASSERT_TRUE(messages);
  ASSERT_EQ(messages->size(), 1U);
  const NetlinkMessage& message = messages->front();
  EXPECT_EQ(message.kind, NetlinkMessage::Kind::reply);
  EXPECT_EQ(message.type, 0x1d);
  EXPECT_EQ(message.sequence, 9U);
  EXPECT_EQ(message.command, 5);
  ASSERT_EQ(message.attributes.size(), 3U);
  EXPECT_EQ(message.find(1)->u32(), 77U);
  EXPECT_EQ(message.find(1)->u8(), std::nullopt);
  EXPECT_EQ(message.find(2), nullptr);
  const auto inner = decode_attributes(message.find(9)->payload);
  ASSERT_TRUE(inner);
  ASSERT_EQ(inner->size(), 1U);
  EXPECT_EQ(inner->front().u32(), 78U);
  EXPECT_EQ(message.find(10)->payload.size(), 7U);
}

TEST(NetlinkMessage, AnErrorOfZeroIsAnAcknowledgement) {
  if (!kIsLittleEndian) GTEST_SKIP() << "the bytes are those of a little-endian machine";
  const auto datagram = bytes_of({
      36,   0,    0,    0,    2,    0, 0, 0, 7, 0, 0, 0, 1, 2, 0, 0,  // an error message
      0,    0,    0,    0,                                            // none
      72,   0,    0,    0,    0x1d, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0,  // the request's header
      36,   0,    0,    0,    2,    0, 0, 0, 8, 0, 0, 0, 1, 2, 0, 0,  // another
      0xf0, 0xff, 0xff, 0xff,                                         // EBUSY
      72,   0,    0,    0,    0x1d, 0, 5, 0, 8, 0, 0, 0, 0, 0, 0, 0,
  });
  const auto messages = decode_netlink(datagram);
  ASSERT_TRUE(messages);
  ASSERT_EQ(messages->size(), 2U);
  EXPECT_EQ(messages->front().kind, NetlinkMessage::Kind::acknowledged);
  EXPECT_EQ(messages->front().sequence, 7U);
  EXPECT_EQ(messages->back().kind, NetlinkMessage::Kind::refused);
  EXPECT_EQ(messages->back().error, EBUSY);
}

TEST(NetlinkMessage, WhatIsCutOffAnywhereIsMalformedOrShorter) {
  NetlinkWriter writer(0x1d, 9, 5, 1);
  writer.u32(1, 77).begin(9).u32(2, 78).end().text(10, "volumes");
  const std::vector<std::byte> whole = writer.bytes();
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_netlink(ConstBytes(whole).first(size))) << size;
  }
  // Of attributes alone the end is not known: a cut between two of them is none.
  const ConstBytes attributes = ConstBytes(whole).subspan(20);
  for (std::size_t size = 1; size < attributes.size(); ++size) {
    EXPECT_EQ(decode_attributes(attributes.first(size)).has_value(), size == 8 || size == 20)
        << size;
  }
}

TEST(NetlinkMessage, NoBytesMakeADecoderReadBeyondThem) {
  NetlinkWriter writer(0x1d, 9, 5, 1);
  writer.u32(1, 77).begin(9).u32(2, 78).end().text(10, "volumes");
  const std::vector<std::byte> whole = writer.bytes();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0, 1, 3, 4, 15, 16, 17, 0x7f, 0x80, 0xff}) {
      // A copy of its exact size, so that a sanitizer sees a byte too much.
      std::vector<std::byte> bytes = whole;
      bytes[at] = static_cast<std::byte>(value);
      const auto messages = decode_netlink(bytes);
      if (!messages) continue;
      for (const NetlinkMessage& message : *messages) {
        for (const NetlinkAttribute& attribute : message.attributes) {
          EXPECT_LE(attribute.payload.size(), bytes.size());
          static_cast<void>(decode_attributes(attribute.payload));
        }
      }
    }
  }
}

}  // namespace
}  // namespace uvdo
