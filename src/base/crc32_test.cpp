// SPDX-License-Identifier: GPL-2.0-or-later
// The checksum against the check value of the format.
#include "base/crc32.h"

#include <string_view>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

ConstBytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(VdoCrc32, HasTheCheckValueOfTheFormat) {
  EXPECT_EQ(vdo_crc32(bytes_of("123456789")), 0xD202D277U);
}

TEST(VdoCrc32, OfNothingIsTheInvertedEmptyRegister) { EXPECT_EQ(vdo_crc32({}), 0xFFFFFFFFU); }

}  // namespace
}  // namespace uvdo
