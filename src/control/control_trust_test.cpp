// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_trust.h"

#include <array>
#include <filesystem>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

class ControlTrust : public ::testing::Test {
 protected:
  const testing::TemporaryFolder owned_;
  const std::string folder_ = owned_.path();
  /// Neither root nor whoever runs the test.
  const uid_t stranger_ = geteuid() + 1000;
};

TEST_F(ControlTrust, AFolderOfOnesOwnIsTrustedAndThatOfAnotherIsNot) {
  EXPECT_TRUE(trust_socket_folder(folder_ + "/socket", geteuid()));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(folder_.c_str(), stranger_, static_cast<gid_t>(-1)), 0);
    const auto refused = trust_socket_folder(folder_ + "/socket", 0);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message().find("belongs to user"), std::string::npos);
    EXPECT_TRUE(trust_socket_folder(folder_ + "/socket", stranger_));
  } else {
    EXPECT_FALSE(trust_socket_folder(folder_ + "/socket", stranger_));
  }
}

TEST_F(ControlTrust, WhereEverybodyMayReplaceTheSocketItIsNotTrusted) {
  ASSERT_EQ(chmod(folder_.c_str(), 0777), 0);
  EXPECT_FALSE(trust_socket_folder(folder_ + "/socket", geteuid()));
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  EXPECT_TRUE(trust_socket_folder(folder_ + "/socket", geteuid())) << "as in /tmp";
}

TEST_F(ControlTrust, ALinkIsTrustedAsFarAsWhatItLeadsTo) {
  std::filesystem::create_directory(folder_ + "/open");
  ASSERT_EQ(chmod((folder_ + "/open").c_str(), 0777), 0);
  std::filesystem::create_symlink("open/socket", folder_ + "/link");
  fclose(fopen((folder_ + "/open/socket").c_str(), "w"));
  EXPECT_FALSE(trust_socket_folder(folder_ + "/link", geteuid()));
}

TEST_F(ControlTrust, APeerIsRootOrOneself) {
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  const FileDescriptor first(ends[0]);
  const FileDescriptor second(ends[1]);
  EXPECT_TRUE(trust_peer(first.get(), "/x", geteuid()));
  EXPECT_EQ(trust_peer(first.get(), "/x", stranger_).ok(), geteuid() == 0) << "root is believed";
}

}  // namespace
}  // namespace uvdo
