// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/psk_keys.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(PskKeys, AreFoundByTheirNames) {
  auto keys = PskKeys::parse("# ours\n\nalice:00fF\nbob:0a0b0c \r\n#616c6C:01\nalice:22");
  ASSERT_TRUE(keys) << keys.error().message();
  ASSERT_NE(keys->find("alice"), nullptr);
  EXPECT_EQ(*keys->find("alice"), (PskKeys::Key{0x00, 0xff})) << "the first one";
  EXPECT_EQ(*keys->find("bob"), (PskKeys::Key{0x0a, 0x0b, 0x0c}));
  EXPECT_EQ(*keys->find("all"), PskKeys::Key{0x01}) << "a name in hex";
  EXPECT_EQ(keys->find("carol"), nullptr);
  EXPECT_EQ(keys->find(""), nullptr);
}

TEST(PskKeys, WhatIsNoKeyIsRefused) {
  for (const char* text : {"", "\n\n", "# nobody\n", "alice", "alice:", ":00", "alice:0",
                           "alice:0g", "alice:00\nbob\n", "#zz\nalice 00"}) {
    auto keys = PskKeys::parse(text);
    ASSERT_FALSE(keys) << text;
    EXPECT_EQ(keys.error().code(), Errc::invalid_argument) << text;
  }
  auto keys = PskKeys::parse("alice:00\nbob:12345\n");
  EXPECT_NE(keys.error().message().find("line 2"), std::string::npos);
  EXPECT_EQ(keys.error().message().find("12345"), std::string::npos) << "no key is shown";
}

}  // namespace
}  // namespace uvdo
