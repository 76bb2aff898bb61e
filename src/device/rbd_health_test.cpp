// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/rbd_health.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::string check(const std::string& kind, const std::string& message) {
  return "\"" + kind + R"(": {"severity": "HEALTH_WARN", "summary": {"message": ")" + message +
         R"(", "count": 1}, "muted": false})";
}

std::string health(const std::string& checks) {
  return R"({"status": "HEALTH_WARN", "checks": {)" + checks + R"(}, "mutes": []})";
}

TEST(RbdHealth, OfAClusterThatIsWellIsEmpty) {
  const auto found = rbd_health_of(R"({"status": "HEALTH_OK", "checks": {}, "mutes": []})");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->room, "");
  EXPECT_EQ(found->rest, "");
}

TEST(RbdHealth, RoomIsToldApartFromTheRest) {
  const auto found = rbd_health_of(health(check("OSD_FULL", "1 full osd(s)") + "," +
                                          check("POOL_FULL", "2 pool(s) full") + "," +
                                          check("OSD_DOWN", "1 osds down")));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->room, "1 full osd(s), 2 pool(s) full");
  EXPECT_EQ(found->rest, "1 osds down");
}

TEST(RbdHealth, HowAClusterIsSetUpDoesNotMatter) {
  const auto found =
      rbd_health_of(health(check("POOL_NO_REDUNDANCY", "1 pool(s) have no replicas configured")));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->room + found->rest, "");
}

TEST(RbdHealth, WhatIsNoHealthIsAnError) {
  for (const char* text : {"", "[]", "{}", R"({"checks": 5})", "{\"checks\""}) {
    EXPECT_EQ(rbd_health_of(text).error().code(), Errc::corrupt) << text;
  }
  // What is not understood in between is left out.
  for (const char* checks : {R"("OSD_FULL": 5)", R"("OSD_FULL": {"summary": 5})",
                             R"("OSD_FULL": {"summary": {"message": 5}})"}) {
    const auto found = rbd_health_of(health(checks));
    ASSERT_TRUE(found) << checks;
    EXPECT_EQ(found->room, "");
  }
}

}  // namespace
}  // namespace uvdo
