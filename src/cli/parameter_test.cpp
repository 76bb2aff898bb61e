// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/parameter.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr ParameterLimits kCount{ParameterLimits::Kind::count, 1, 16380, "the ring is that long"};
constexpr ParameterLimits kSize{ParameterLimits::Kind::size, 16ULL << 20U, 1ULL << 40U,
                                "pages need it"};

TEST(Parameter, TakesWhatIsWithinItsLimits) {
  EXPECT_EQ(*parse_parameter("x", "1", kCount), 1U);
  EXPECT_EQ(*parse_parameter("x", "16380", kCount), 16380U);
  EXPECT_EQ(*parse_parameter("x", "16M", kSize), 16U << 20U);
  EXPECT_EQ(*parse_parameter("x", "1T", kSize), 1ULL << 40U);
}

TEST(Parameter, TellsNameValueLimitsAndReason) {
  EXPECT_EQ(parse_parameter("--era-length", "16381", kCount).error().message(),
            "--era-length is \"16381\"; it takes 1 to 16380: the ring is that long");
  EXPECT_EQ(parse_parameter("--cache", "1K", kSize).error().message(),
            "--cache is \"1K\"; it takes 16 MiB to 1 TiB: pages need it");
  for (const char* text : {"", "0", "-1", "1.5", "many", "1 ", "0x10", "99999999999999999999"}) {
    const auto value = parse_parameter("--era-length", text, kCount);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().code(), Errc::invalid_argument);
    EXPECT_NE(value.error().message().find("1 to 16380"), std::string::npos);
  }
  for (const char* text : {"", "lots", "2T", "1MB", "-1M"}) {
    const auto value = parse_parameter("--cache", text, kSize);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_NE(value.error().message().find("16 MiB to 1 TiB"), std::string::npos);
  }
}

}  // namespace
}  // namespace uvdo
