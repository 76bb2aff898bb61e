// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_protocol.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace uvdo::fuse {
namespace {

std::vector<std::byte> message(std::uint32_t opcode, std::string_view body) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  std::vector<std::byte> bytes(header.len);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, body.data(), body.size());
  return bytes;
}

TEST(FuseProtocol, AMessageIsAsLongAsItSaysOrNone) {
  std::vector<std::byte> bytes = message(FUSE_LOOKUP, std::string_view("volume\0", 7));
  ASSERT_TRUE(decode_request(bytes));
  EXPECT_EQ(decode_request(bytes)->name(), "volume");
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode_request(bytes));
  bytes.resize(sizeof(fuse_in_header) - 1);
  EXPECT_FALSE(decode_request(bytes));
  EXPECT_FALSE(decode_request({}));
}

TEST(FuseProtocol, ANameEndsWithinItsMessage) {
  EXPECT_FALSE(decode_request(message(FUSE_LOOKUP, "volume"))->name());
  EXPECT_FALSE(decode_request(message(FUSE_LOOKUP, ""))->name());
}

TEST(FuseProtocol, AStructureNeedsAllOfItsBytes) {
  const std::string whole(sizeof(fuse_read_in), 'r');
  EXPECT_TRUE(decode_request(message(FUSE_READ, whole))->head<fuse_read_in>());
  const std::string cut(sizeof(fuse_read_in) - 1, 'r');
  EXPECT_FALSE(decode_request(message(FUSE_READ, cut))->head<fuse_read_in>());
}

TEST(FuseProtocol, OnlyWhatIsOfferedIsTaken) {
  fuse_init_in offer{};
  offer.major = FUSE_KERNEL_VERSION;
  offer.minor = 33;
  offer.max_readahead = 4096;
  offer.flags = FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_WRITEBACK_CACHE;
  const Greeting greeting = greet(offer, 1'000'000);
  EXPECT_EQ(greeting.answer.flags, std::uint32_t{FUSE_ASYNC_DIO | FUSE_MAX_PAGES});
  EXPECT_EQ(greeting.answer.flags2, 0U);
  EXPECT_EQ(greeting.answer.max_readahead, 4096U);
  EXPECT_EQ(greeting.answer.max_background, 65535U);
  EXPECT_EQ(greeting.answer.max_write, kMostData);
  EXPECT_EQ(greeting.agreement.minor, 33U);
  EXPECT_FALSE(greeting.agreement.can_resend);
}

TEST(FuseProtocol, TheHighFlagsCountOnlyWhereTheKernelSaysSo) {
  fuse_init_in offer{};
  offer.flags2 = static_cast<std::uint32_t>(kHasResend >> 32U);
  EXPECT_FALSE(greet(offer, 1).agreement.can_resend);
  offer.flags = FUSE_INIT_EXT;
  EXPECT_TRUE(greet(offer, 1).agreement.can_resend);
}

TEST(FuseProtocol, WhatChangesTheFolderIsKnown) {
  EXPECT_TRUE(changes_folder(FUSE_UNLINK));
  EXPECT_TRUE(changes_folder(FUSE_CREATE));
  EXPECT_FALSE(changes_folder(FUSE_WRITE));
  EXPECT_FALSE(changes_folder(FUSE_IOCTL));
}

}  // namespace
}  // namespace uvdo::fuse
