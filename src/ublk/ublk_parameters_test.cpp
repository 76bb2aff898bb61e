// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_parameters.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

TEST(UblkParameters, TheDriverIsToldWhatADeviceIs) {
  const auto told = encode_parameters({.size = kGiB, .logical_block_size = 512});
  ASSERT_TRUE(told.ok());
  EXPECT_EQ(told->length, 64U);
  EXPECT_EQ(told->types, ublk::kHasBasic | ublk::kHasDiscard);
  EXPECT_EQ(told->attributes, ublk::kVolatileCache | ublk::kFuaWrites);
  EXPECT_EQ(told->logical_block_shift, 9U);
  EXPECT_EQ(told->physical_block_shift, 12U);
  EXPECT_EQ(told->io_minimum_shift, 12U);
  EXPECT_EQ(told->io_optimum_shift, 20U);
  EXPECT_EQ(told->max_sectors, 2048U);
  EXPECT_EQ(told->sectors, kGiB / 512);
  EXPECT_EQ(told->discard_granularity, 4096U);
  EXPECT_EQ(told->max_discard_segments, 1U);
  EXPECT_EQ(told->max_discard_sectors, 0xffff'fff8U);
  EXPECT_EQ(told->max_zeroes_sectors, told->max_discard_sectors);
}

TEST(UblkParameters, WithoutAVolatileCacheThereIsNoFua) {
  const auto told =
      encode_parameters({.size = kGiB, .is_read_only = true, .has_volatile_cache = false});
  ASSERT_TRUE(told.ok());
  EXPECT_EQ(told->attributes, ublk::kReadOnly);
}

TEST(UblkParameters, WhatTheDriverWouldRefuseIsSaidInWords) {
  for (const UblkAttributes& wrong : {
           UblkAttributes{.size = 0},
           UblkAttributes{.size = kGiB + 1},
           UblkAttributes{.size = kGiB + 512, .logical_block_size = 4096},
           UblkAttributes{.size = kGiB, .logical_block_size = 1024},
           UblkAttributes{.size = kGiB, .io_optimum = 3U << 12U},
           UblkAttributes{.size = kGiB, .io_optimum = 2U << 20U},
           UblkAttributes{.size = kGiB, .max_io_bytes = 0},
           UblkAttributes{.size = kGiB, .max_io_bytes = 6144},
           UblkAttributes{.size = kGiB, .max_io_bytes = 64U << 20U},
       }) {
    const auto told = encode_parameters(wrong);
    ASSERT_FALSE(told.ok());
    EXPECT_EQ(told.error().code(), Errc::invalid_argument);
  }
  EXPECT_TRUE(encode_parameters({.size = kGiB + 512, .logical_block_size = 512}).ok());
}

TEST(UblkParameters, WhatIsEncodedIsDecoded) {
  const UblkAttributes attributes{.size = 3 * kGiB,
                                  .logical_block_size = 4096,
                                  .io_optimum = 1U << 16U,
                                  .max_io_bytes = 128U << 10U,
                                  .is_read_only = true,
                                  .has_volatile_cache = false};
  const auto told = encode_parameters(attributes);
  ASSERT_TRUE(told.ok());
  const auto decoded = decode_parameters(*told);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, attributes);
}

TEST(UblkParameters, ParametersOfForeignDevicesAreRefused) {
  const auto told = encode_parameters({.size = kGiB});
  ASSERT_TRUE(told.ok());
  const auto refuses = [&](auto change) {
    ublk::Parameters wrong = *told;
    change(wrong);
    return !decode_parameters(wrong).ok();
  };
  EXPECT_FALSE(refuses([](ublk::Parameters&) {}));
  EXPECT_TRUE(refuses([](ublk::Parameters& p) { p.types = ublk::kHasDiscard; }));
  EXPECT_TRUE(refuses([](ublk::Parameters& p) { p.logical_block_shift = 255; }));
  EXPECT_TRUE(refuses([](ublk::Parameters& p) { p.io_optimum_shift = 32; }));
  EXPECT_TRUE(refuses([](ublk::Parameters& p) { p.sectors = UINT64_MAX; }));
  EXPECT_TRUE(refuses([](ublk::Parameters& p) { p.sectors = 0; }));
  EXPECT_TRUE(refuses([](ublk::Parameters& p) { p.max_sectors = UINT32_MAX; }));
}

}  // namespace
}  // namespace uvdo
