// SPDX-License-Identifier: GPL-2.0-or-later
// Sizes in the forms that people use, and those that must be refused.
#include "base/size_text.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::uint64_t parsed(std::string_view text) {
  auto size = parse_size(text);
  EXPECT_TRUE(size.ok()) << text << ": " << (size.ok() ? "" : size.error().message());
  return size.ok() ? *size : 0;
}

TEST(SizeText, BareNumbersAreBytes) {
  EXPECT_EQ(parsed("0"), 0U);
  EXPECT_EQ(parsed("4096"), 4096U);
  EXPECT_EQ(parsed("4096B"), 4096U);
  EXPECT_EQ(parsed("18446744073709551615"), UINT64_MAX);
}

TEST(SizeText, UnitsArePowersOf1024) {
  EXPECT_EQ(parsed("1K"), 1024U);
  EXPECT_EQ(parsed("3m"), 3U << 20U);
  EXPECT_EQ(parsed("10G"), 10ULL << 30U);
  EXPECT_EQ(parsed("10GiB"), 10ULL << 30U);
  EXPECT_EQ(parsed("2 tib"), 2ULL << 40U);
  EXPECT_EQ(parsed("4P"), 4ULL << 50U);
  EXPECT_EQ(parsed("15E"), 15ULL << 60U);
}

TEST(SizeText, DecimalsAreTakenWhereTheyMakeWholeBytes) {
  EXPECT_EQ(parsed("1.5K"), 1536U);
  EXPECT_EQ(parsed("0.25G"), 1ULL << 28U);
  EXPECT_FALSE(parse_size("1.3").ok());
  EXPECT_FALSE(parse_size("1.0001K").ok());
}

TEST(SizeText, RefusesWhatIsAmbiguousOrTooLarge) {
  for (const char* text : {"", "K", "G10", "10KB", "10MB", "10X", "10Ki", "-1", "1.", "16E", "1..5",
                           "18446744073709551616", "1.0000000001T", "10 G G"}) {
    auto size = parse_size(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.error().code(), Errc::invalid_argument);
  }
}

TEST(SizeText, PrintsForPeople) {
  EXPECT_EQ(size_text(0), "0 bytes");
  EXPECT_EQ(size_text(1023), "1023 bytes");
  EXPECT_EQ(size_text(1024), "1 KiB");
  EXPECT_EQ(size_text(1536), "1.5 KiB");
  EXPECT_EQ(size_text(6ULL << 30U), "6 GiB");
  EXPECT_EQ(size_text((1ULL << 30U) - 1), "1.0 GiB");
  EXPECT_EQ(size_text(UINT64_MAX), "16.0 EiB");
}

TEST(SizeText, WhatIsPrintedExactlyCanBeTypedBack) {
  struct Case {
    std::uint64_t bytes;
    const char* text;
  };
  constexpr std::uint64_t kGib = 1ULL << 30U;
  for (const Case& at :
       {Case{0, "0 bytes"}, Case{1023, "1023 bytes"}, Case{1025, "1025 bytes"},
        Case{1536, "1.5 KiB"}, Case{3 * kGib / 2, "1.5 GiB"}, Case{4 * kGib + 4096, "4194308 KiB"},
        Case{4 * kGib + (1U << 20U), "4097 MiB"}, Case{kGib - 4096, "1048572 KiB"},
        Case{kGib - 1, "1073741823 bytes"}, Case{1ULL << 52U, "4 PiB"},
        Case{UINT64_MAX, "18446744073709551615 bytes"}}) {
    EXPECT_EQ(exact_size_text(at.bytes), at.text);
    EXPECT_EQ(parsed(at.text), at.bytes) << at.text;
  }
  for (std::uint64_t bytes = 4096; bytes < (1ULL << 62U); bytes += bytes / 3 / 4096 * 4096 + 4096) {
    EXPECT_EQ(parsed(exact_size_text(bytes)), bytes);
  }
}

TEST(SizeText, GroupsThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1 000");
  EXPECT_EQ(grouped(1234567), "1 234 567");
}

}  // namespace
}  // namespace uvdo
