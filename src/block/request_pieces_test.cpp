// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/request_pieces.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(RequestPieces, RangesAreCutAtMultiplesOf128KiB) {
  constexpr std::uint32_t kPiece = BufferPool::kLargest;
  constexpr std::uint32_t kLong = 64U << 20U;
  EXPECT_EQ(piece_count(5, 0), 0U);
  EXPECT_EQ(piece_count(kPiece - 1, 1), 1U);
  EXPECT_EQ(piece_count(kPiece - 1, 2), 2U);
  EXPECT_EQ(piece_count(1, kLong), kLong / kPiece + 1);
  EXPECT_EQ(piece_length(kPiece - 1, 2), 1U);
  EXPECT_EQ(piece_length(kPiece, 2 * kPiece), kPiece);
}

}  // namespace
}  // namespace uvdo
