// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/printable.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(Printable, OrdinaryTextStaysAsItIs) {
  const std::string text = "/srv/Grüße, 日本 🙂/v.img 50 % \"a\\b\"";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, WhatATerminalObeysIsMadeVisible) {
  EXPECT_EQ(printable("a\033[2Jb\r\nc\ad\x7f"), "a\\x1b[2Jb\\x0d\\x0ac\\x07d\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m")
      << "CSI in one character";
  EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "gpj.exe"),
            "a\\u202Egpj.exe");
}

TEST(Printable, BytesThatAreNoTextAreMadeVisible) {
  EXPECT_EQ(printable("\x9b"
                      "2J"),
            "\\x9b2J")
      << "CSI of a terminal without UTF-8";
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\x9b"), "\\xc0\\x9b") << "an overlong form";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
}

TEST(Printable, LinesStayWhereTheyAreWanted) {
  EXPECT_EQ(printable_lines("a\n\tb\033\n"), "a\n\tb\\x1b\n");
}

}  // namespace
}  // namespace uvdo
