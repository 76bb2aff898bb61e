// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file_checks.h"

#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

class FileChecks : public ::testing::Test {
 protected:
  FileChecks() {
    EXPECT_EQ(mkfifo(fifo_.c_str(), 0600), 0);
    std::ofstream(file_) << "four";
  }
  const testing::TemporaryFolder owned_;
  const std::string folder_ = owned_.path();
  const std::string fifo_ = owned_.path("fifo");
  const std::string file_ = owned_.path("file");
};

TEST_F(FileChecks, WhatIsNoFileIsRefusedWithoutWaiting) {
  for (const FileKind kind : {FileKind::regular, FileKind::store}) {
    for (const std::string& path : {fifo_, folder_, std::string("/dev/zero")}) {
      auto checked = check_file_kind(path, kind);
      ASSERT_FALSE(checked.ok()) << path;
      EXPECT_EQ(checked.error().code(), Errc::invalid_argument);
    }
    EXPECT_TRUE(check_file_kind(file_, kind).ok());
    EXPECT_FALSE(check_file_kind(folder_ + "/none", kind).ok());
  }
  // What took a file's place after it was looked at is opened without waiting, and then refused.
  const int fd = open_without_waiting(fifo_, O_RDONLY);
  ASSERT_GE(fd, 0);
  EXPECT_FALSE(check_file_kind(fd, fifo_, FileKind::store).ok());
  wait_for_transfers(fd);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  close(fd);
}

TEST_F(FileChecks, OnlyFilesOfTheRightKindAreOpened) {
  for (const FileKind kind : {FileKind::regular, FileKind::store}) {
    for (const std::string& path : {fifo_, folder_, std::string("/dev/zero")}) {
      auto opened = open_checked(path, O_RDONLY, kind);
      EXPECT_TRUE(!opened && opened.error().code() == Errc::invalid_argument) << path;
    }
    auto none = open_checked(folder_ + "/none", O_RDONLY, kind);
    EXPECT_TRUE(!none && none.error().code() == Errc::not_found);
  }
  auto file = open_checked(file_, O_RDONLY, FileKind::store);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(fcntl(file->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(fcntl(file->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(FileChecks, OneThatIsNotThereCanBeMade) {
  const std::string path = folder_ + "/new";
  EXPECT_TRUE(open_checked(path, O_WRONLY | O_CREAT, FileKind::regular, 0600).ok());
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  unlink(path.c_str());
  EXPECT_FALSE(open_checked(fifo_, O_WRONLY | O_CREAT, FileKind::regular, 0600).ok());
}

TEST_F(FileChecks, SmallFilesAreReadAndLargerOnesRefused) {
  EXPECT_EQ(read_small_file(file_, 4).value(), "four");
  EXPECT_FALSE(read_small_file(file_, 3).ok());
  EXPECT_FALSE(read_small_file(fifo_, 4).ok());
  EXPECT_FALSE(read_small_file("/dev/zero", 4).ok());
}

}  // namespace
}  // namespace uvdo
