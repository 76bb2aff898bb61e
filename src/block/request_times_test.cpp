// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/request_times.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(RequestTimes, CountsEachRequestUnderItsKind) {
  RequestTimes times;
  const RequestTimes& seen = times;
  {
    const RequestTimes::Span outer(&times, RequestKind::read, 4096);
    const RequestTimes::Span inner(&times, RequestKind::read, 8192);
    EXPECT_EQ(seen.of(RequestKind::read).in_flight, 2U);
    EXPECT_EQ(seen.of(RequestKind::read).latencies.count(), 0U);
  }
  { const RequestTimes::Span flush(&times, RequestKind::flush, 0); }
  { const RequestTimes::Span none(nullptr, RequestKind::write, 4096); }
  const RequestTimes::Kind& reads = seen.of(RequestKind::read);
  EXPECT_EQ(reads.in_flight, 0U);
  EXPECT_EQ(reads.latencies.count(), 2U);
  EXPECT_EQ(reads.bytes, 12288U);
  EXPECT_GE(reads.total_ns, 2U);
  EXPECT_EQ(seen.of(RequestKind::flush).latencies.count(), 1U);
  EXPECT_EQ(seen.of(RequestKind::write).latencies.count(), 0U);
}

}  // namespace
}  // namespace uvdo
