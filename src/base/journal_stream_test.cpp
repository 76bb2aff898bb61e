// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/journal_stream.h"

#include <array>
#include <cstring>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/absolute_path.h"
#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

TEST(JournalStream, SaysWhoSpeaksAndThenItsLines) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path("stdout");
  const FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);

  auto stream = open_journal_stream("uvdo", path);
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  ASSERT_EQ(write(stream->get(), "<5>a line\n", 10), 10);
  *stream = FileDescriptor();
  const FileDescriptor journal(accept(listener.get(), nullptr, nullptr));
  std::string got;
  std::array<char, 64> piece{};
  for (ssize_t n = 0; (n = read(journal.get(), piece.data(), piece.size())) > 0;) {
    got.append(piece.data(), static_cast<std::size_t>(n));
  }
  EXPECT_EQ(got, "uvdo\n\n6\n1\n0\n0\n0\n<5>a line\n");
}

TEST(JournalStream, WhereNobodyListensAFileIsAdvised) {
  const testing::TemporaryFolder folder;
  const auto stream = open_journal_stream("uvdo", folder.path("none"));
  ASSERT_FALSE(stream.ok());
  EXPECT_EQ(stream.error().code(), Errc::not_found);
  EXPECT_NE(stream.error().message().find("name a file"), std::string::npos);
}

TEST(JournalStream, ItsNameIsNoPath) {
  EXPECT_EQ(absolute_log_name("journal"), "journal");
  EXPECT_EQ(absolute_log_name("./journal"), absolute_path("./journal"));
}

}  // namespace
}  // namespace uvdo
