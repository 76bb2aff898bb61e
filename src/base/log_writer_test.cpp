// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log_writer.h"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

namespace uvdo {
namespace {

std::string lost_lines(std::uint64_t count) { return fmt::format("lost {}\n", count); }

class Pipe {
 public:
  Pipe() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    fcntl(ends_[1], F_SETPIPE_SZ, 4096);
  }
  ~Pipe() {
    close_reader();
    close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  [[nodiscard]] int writer() const { return ends_[1]; }
  void fill() {
    const std::string page(4096, '-');
    ASSERT_EQ(write(ends_[1], page.data(), page.size()), 4096);
  }
  void close_reader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }
  /// What comes until `end` does.
  std::string read_until(std::string_view end) {
    std::string text;
    while (text.find(end) == std::string::npos) {
      char bytes[4096];
      pollfd ready{ends_[0], POLLIN, 0};
      if (poll(&ready, 1, 20'000) != 1) break;
      const ssize_t length = read(ends_[0], bytes, sizeof bytes);
      if (length <= 0) break;
      text.append(bytes, static_cast<std::size_t>(length));
    }
    return text;
  }

 private:
  int ends_[2] = {-1, -1};
};

TEST(LogWriter, WritesLinesInOrderAlsoLongOnes) {
  Pipe pipe;
  auto log = LogWriter::start(pipe.writer(), lost_lines);
  ASSERT_TRUE(log.ok());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string line = std::string(static_cast<std::size_t>(i) * 200, 'x') + "\n";
    (*log)->put(line);
    all += line;
  }
  (*log)->put("end\n");
  EXPECT_EQ(pipe.read_until("end\n"), all + "end\n");
}

TEST(LogWriter, WhatAFullPipeDoesNotTakeIsCountedAndToldInItsPlace) {
  Pipe pipe;
  pipe.fill();
  auto log = LogWriter::start(pipe.writer(), lost_lines, 64);
  ASSERT_TRUE(log.ok());
  for (int i = 0; i < 1000; ++i) (*log)->put(fmt::format("{:07}\n", i));  // nobody waits
  const std::string text = pipe.read_until("lost ");
  const std::string rest = text.find('\n', text.find("lost ")) == std::string::npos
                               ? text + pipe.read_until("\n")
                               : text;
  std::string expected(4096, '-');
  // One more than there is room for, if the thread had taken the first by then.
  std::uint64_t kept = 0;
  for (; rest.find(fmt::format("{:07}\n", kept)) != std::string::npos; ++kept) {
    expected += fmt::format("{:07}\n", kept);
  }
  EXPECT_GE(kept, 8U);
  EXPECT_LE(kept, 9U);
  EXPECT_EQ(rest, expected + lost_lines(1000 - kept));
  (*log)->put("and on\n");
  EXPECT_EQ(pipe.read_until("on\n"), "and on\n");
}

TEST(LogWriter, EndsThoughNobodyTakesItsLines) {
  Pipe pipe;
  pipe.fill();
  auto log = LogWriter::start(pipe.writer(), lost_lines);
  ASSERT_TRUE(log.ok());
  (*log)->put("never read\n");
  log->reset();
}

TEST(LogWriter, FailuresAreCountedAndToldWhenWritingSucceedsAgain) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  Pipe pipe;
  auto log = LogWriter::start(full, lost_lines);
  ASSERT_TRUE(log.ok());
  for (int i = 0; i < 3; ++i) (*log)->put("no room\n");
  // The same number leads elsewhere from now on; some of the three may come through.
  ASSERT_EQ(dup2(pipe.writer(), full), full);
  (*log)->put("the end\n");
  const std::string text = pipe.read_until("the end\n");
  unsigned accounted = 0;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    if (text.compare(at, 5, "lost ") == 0) {
      accounted += static_cast<unsigned>(std::stoul(text.substr(at + 5)));
    } else if (text.compare(at, 8, "no room\n") == 0) {
      ++accounted;
    }
  }
  EXPECT_EQ(accounted, 3U) << text;
  EXPECT_TRUE(text.ends_with("the end\n")) << text;
  close(full);
}

TEST(LogWriter, ABrokenPipeEndsNothing) {
  Pipe pipe;
  auto log = LogWriter::start(pipe.writer(), lost_lines);
  ASSERT_TRUE(log.ok());
  pipe.close_reader();
  for (int i = 0; i < 100; ++i) (*log)->put("to nobody\n");
  log->reset();
}

}  // namespace
}  // namespace uvdo
