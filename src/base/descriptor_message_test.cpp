// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/descriptor_message.h"

#include <array>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace uvdo {
namespace {

class DescriptorMessageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_ = FileDescriptor(ends[0]);
    its_ = FileDescriptor(ends[1]);
  }
  FileDescriptor ours_;
  FileDescriptor its_;
};

TEST_F(DescriptorMessageTest, FilesArriveOpenWithTheText) {
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(pipe2(pipe_ends.data(), O_CLOEXEC), 0);
  const FileDescriptor reader(pipe_ends[0]);
  {
    const FileDescriptor writer(pipe_ends[1]);
    ASSERT_TRUE(send_message(ours_.get(), "two of it", std::array{writer.get(), writer.get()}));
  }
  {
    const auto got = receive_message(its_.get(), 100);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->text, "two of it");
    ASSERT_EQ(got->files.size(), 2U);
    EXPECT_EQ(write(got->files[1].get(), "x", 1), 1);
  }
  std::array<char, 2> bytes{};
  EXPECT_EQ(read(reader.get(), bytes.data(), bytes.size()), 1);
  EXPECT_EQ(read(reader.get(), bytes.data(), bytes.size()), 0) << "all copies are closed";
}

TEST_F(DescriptorMessageTest, WithoutFilesItIsTextAlone) {
  ASSERT_TRUE(send_message(ours_.get(), "plain", {}));
  const auto got = receive_message(its_.get(), 3);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->text, "pla");
  EXPECT_TRUE(got->files.empty());
}

TEST_F(DescriptorMessageTest, MoreFilesThanGoAreRefused) {
  const std::vector<int> many(kMostSentFiles + 1, STDIN_FILENO);
  EXPECT_FALSE(send_message(ours_.get(), "many", many));
}

TEST_F(DescriptorMessageTest, AnEndThatIsGoneHasNothingToSay) {
  its_ = FileDescriptor();
  EXPECT_FALSE(receive_message(ours_.get(), 10));
  EXPECT_FALSE(send_message(ours_.get(), "x", {}));
}

}  // namespace
}  // namespace uvdo
