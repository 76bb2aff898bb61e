// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <unistd.h>

namespace uvdo {
namespace {

TEST(Log, EncodesALineAsEachFormatWantsIt) {
  LogLine line(LogLevel::warning, "80 % of \"v\"\nis used");
  line.fields = {{"percent", "80"}, {"path", "/a\x01\xff\xc3\xa4"}};
  EXPECT_EQ(encode(line, Log::Format::plain, 0), "80 % of \"v\" is used\n");
  EXPECT_EQ(encode(line, Log::Format::journal, 0), "<4>80 % of \"v\" is used\n");
  EXPECT_EQ(encode(line, Log::Format::json, 1'000'000'000'000'007),
            R"({"time":"2001-09-09T01:46:40.000007Z","level":"warning",)"
            R"("message":"80 % of \"v\"\nis used","percent":"80",)"
            "\"path\":\"/a\\u0001\xef\xbf\xbd\xc3\xa4\"}\n");
}

TEST(Log, WritesOnlyWhatIsWanted) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  {
    auto log = Log::start(ends[1], Log::Format::plain, LogLevel::notice);
    ASSERT_TRUE(log.ok());
    (*log)->write({LogLevel::info, "no"});
    (*log)->write({LogLevel::notice, "yes"});
    (*log)->set_level(LogLevel::error);
    (*log)->write({LogLevel::warning, "no"});
    (*log)->write({LogLevel::error, "of course"});
  }
  close(ends[1]);
  std::string text(100, 0);
  const ssize_t length = read(ends[0], text.data(), text.size());
  close(ends[0]);
  EXPECT_EQ(text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(0, length))),
            "yes\nof course\n");
}

TEST(Log, LevelsAndFormatsHaveNames) {
  for (const char* name : {"error", "warning", "notice", "info", "debug"}) {
    auto level = parse_log_level(name);
    ASSERT_TRUE(level.ok()) << name;
    EXPECT_EQ(name_of(*level), name);
  }
  EXPECT_FALSE(parse_log_level("loud").ok());
  EXPECT_EQ(*Log::parse_format("json", 1), Log::Format::json);
  EXPECT_FALSE(Log::parse_format("xml", 1).ok());
}

TEST(Log, ALineIsItsTextForWhoDoesNotCare) {
  std::string seen;
  const LogFunction log = [&](const std::string& text) { seen = text; };
  log({LogLevel::error, "words"});
  EXPECT_EQ(seen, "words");
  log("more words");
  EXPECT_EQ(seen, "more words");
}

}  // namespace
}  // namespace uvdo
