// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/result.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

Result<int> half_of(int number) {
  if (number % 2 != 0) return Error(Errc::invalid_argument, "the number is odd");
  return number / 2;
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_EQ(*half_of(8), 4);
  const auto odd = half_of(7);
  ASSERT_FALSE(odd.ok());
  EXPECT_EQ(odd.error().code(), Errc::invalid_argument);
  EXPECT_EQ(odd.error().message(), "the number is odd");
}

TEST(Result, OfNothingIsGoodUntilToldOtherwise) {
  Result<void> done;
  EXPECT_TRUE(done.ok());
  done = Error(Errc::io, "broken");
  EXPECT_FALSE(done.ok());
  EXPECT_EQ(done.error().within("disk").message(), "disk: broken");
}

TEST(Result, CodesHaveNamesAndComeBackFromThem) {
  for (int i = 0; i <= static_cast<int>(Errc::no_memory); ++i) {
    const auto code = static_cast<Errc>(i);
    EXPECT_EQ(errc_of(name_of(code)), code);
  }
  EXPECT_EQ(errc_of("nonsense"), Errc::io);
}

TEST(Result, ErrnoBecomesACodeAndASentence) {
  const Error error = errno_error(ENOSPC, "write of x");
  EXPECT_EQ(error.code(), Errc::no_space);
  EXPECT_EQ(error.message(), "write of x: No space left on device");
  EXPECT_EQ(errno_of(error.code()), ENOSPC);
}

}  // namespace
}  // namespace uvdo
