// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/descriptor_reserve.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace uvdo {
namespace {

/// All descriptors that there are, until it ends.
class NoneLeft {
 public:
  NoneLeft() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &few);
    while (FileDescriptor fd{open("/dev/null", O_RDONLY | O_CLOEXEC)})
      taken_.push_back(std::move(fd));
  }
  NoneLeft(const NoneLeft&) = delete;
  NoneLeft& operator=(const NoneLeft&) = delete;
  ~NoneLeft() { setrlimit(RLIMIT_NOFILE, &before_); }
  void give_one_back() { taken_.pop_back(); }

 private:
  rlimit before_{};
  std::vector<FileDescriptor> taken_;
};

TEST(DescriptorReserve, IsThereWhenNoOtherIsLeft) {
  DescriptorReserve reserve(2);
  NoneLeft none;
  EXPECT_TRUE(reserve.refill()) << "nothing is missing";
  EXPECT_TRUE(reserve.lend());
  FileDescriptor used(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(used);
  EXPECT_FALSE(reserve.refill());
  EXPECT_TRUE(reserve.lend());
  EXPECT_FALSE(reserve.lend());
  EXPECT_FALSE(reserve.refill()) << "one of two is back";
  none.give_one_back();
  EXPECT_TRUE(reserve.refill());
}

TEST(DescriptorReserve, WantsNoMoreThanItCouldHave) {
  NoneLeft none;
  DescriptorReserve reserve(4);
  EXPECT_TRUE(reserve.refill());
  EXPECT_FALSE(reserve.lend());
}

}  // namespace
}  // namespace uvdo
