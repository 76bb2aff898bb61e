// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_request.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr UblkLimits kLimits{.size = 1U << 20U, .max_io_bytes = 64U << 10U};
constexpr std::uint32_t kSectors = (1U << 20U) / 512;

TEST(UblkRequest, EachKindIsDecoded) {
  using Kind = UblkRequest::Kind;
  const std::pair<std::uint32_t, Kind> kinds[] = {{ublk::kRead, Kind::read},
                                                  {ublk::kWrite, Kind::write},
                                                  {ublk::kDiscard, Kind::discard},
                                                  {ublk::kWriteZeroes, Kind::write_zeroes}};
  for (const auto& [number, kind] : kinds) {
    const auto request = decode_request({number, 8, 16, 0}, kLimits);
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->kind, kind);
    EXPECT_EQ(request->offset, 8192U);
    EXPECT_EQ(request->length, 4096U);
    EXPECT_FALSE(request->fua);
    EXPECT_FALSE(request->keeps_mapped);
  }
}

TEST(UblkRequest, AFlushHasNoRange) {
  const auto request = decode_request({ublk::kFlush, 99, UINT64_MAX, 0}, kLimits);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->kind, UblkRequest::Kind::flush);
  EXPECT_EQ(request->length, 0U);
}

TEST(UblkRequest, FlagsAreThoseOfTheInterface) {
  // Failing fast (bit 8) and swapping (bit 16) are advice.
  const std::uint32_t advice = 1U << 8U | 1U << 16U;
  const auto write = decode_request({ublk::kWrite | 1U << 13U | advice, 8, 0, 0}, kLimits);
  ASSERT_TRUE(write.ok());
  EXPECT_TRUE(write->fua);
  const auto zeroes = decode_request({ublk::kWriteZeroes | 1U << 15U, 8, 0, 0}, kLimits);
  ASSERT_TRUE(zeroes.ok());
  EXPECT_TRUE(zeroes->keeps_mapped);
  EXPECT_FALSE(zeroes->fua);
}

TEST(UblkRequest, UnknownKindsAreRefused) {
  for (const std::uint32_t number : {4U, 6U, 10U, 18U, 255U}) {
    const auto request = decode_request({number, 8, 0, 0}, kLimits);
    ASSERT_FALSE(request.ok());
    EXPECT_EQ(failure_of(request.error()), -EOPNOTSUPP);
  }
}

TEST(UblkRequest, NothingGoesBeyondTheVolume) {
  for (const std::uint32_t number : {ublk::kRead, ublk::kWrite, ublk::kDiscard}) {
    EXPECT_TRUE(decode_request({number, 8, kSectors - 8, 0}, kLimits).ok());
    for (const std::uint64_t first : {std::uint64_t{kSectors} - 7, std::uint64_t{kSectors},
                                      UINT64_MAX, UINT64_MAX - 7, std::uint64_t{1} << 55U}) {
      const auto request = decode_request({number, 8, first, 0}, kLimits);
      ASSERT_FALSE(request.ok());
      EXPECT_EQ(request.error().code(), Errc::out_of_range);
      EXPECT_EQ(failure_of(request.error()), -EIO);
    }
  }
}

TEST(UblkRequest, DataHaveALimitAndDiscardsTheVolumes) {
  EXPECT_TRUE(decode_request({ublk::kRead, 128, 0, 0}, kLimits).ok());
  EXPECT_FALSE(decode_request({ublk::kRead, 129, 0, 0}, kLimits).ok());
  EXPECT_FALSE(decode_request({ublk::kWrite, 129, 0, 0}, kLimits).ok());
  EXPECT_TRUE(decode_request({ublk::kDiscard, kSectors, 0, 0}, kLimits).ok());
  for (const std::uint32_t number : {ublk::kRead, ublk::kWrite, ublk::kDiscard}) {
    EXPECT_FALSE(decode_request({number, 0, 0, 0}, kLimits).ok());
  }
  // A discard may have more bytes than fit into 32 bits.
  const auto large = decode_request({ublk::kDiscard, UINT32_MAX, 0, 0},
                                    {.size = std::uint64_t{4} << 40U, .max_io_bytes = 4096});
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(large->length, std::uint64_t{UINT32_MAX} * 512);
}

TEST(UblkRequest, NoFailureIsOneThatTheKernelTriesAgain) {
  EXPECT_EQ(failure_of(Error(Errc::no_space, "full")), -ENOSPC);
  for (const Errc code : {Errc::busy, Errc::no_memory, Errc::read_only, Errc::cancelled}) {
    EXPECT_EQ(failure_of(Error(code, "an error")), -EIO);
  }
}

}  // namespace
}  // namespace uvdo
