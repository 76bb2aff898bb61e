// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/descriptor_keeper.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/memory_file.h"

namespace uvdo {
namespace {

class DescriptorKeeperTest : public ::testing::Test {
 protected:
  ~DescriptorKeeperTest() override {
    next_ = DescriptorKeeper();
    static_cast<void>(taken_by_next());
    next_.end();
  }
  DescriptorKeeper start() {
    auto started = DescriptorKeeper::start(path_, "/");
    EXPECT_TRUE(started.ok()) << (started ? "" : started.error().message());
    return started ? std::move(*started) : DescriptorKeeper();
  }
  static MemoryFile file_with(int value) {
    auto made = MemoryFile::create("test", 4096);
    EXPECT_TRUE(made.ok());
    made->bytes()[0] = static_cast<std::byte>(value);
    return std::move(*made);
  }
  using Values = std::map<std::string, int>;
  static Values values(Result<std::vector<KeptDescriptor>> kept) {
    Values found;
    EXPECT_TRUE(kept.ok());
    for (KeptDescriptor& one : *kept) {
      auto file = MemoryFile::adopt(std::move(one.fd));
      EXPECT_TRUE(file.ok());
      found[one.name] = std::to_integer<int>(file->bytes()[0]);
    }
    return found;
  }
  /// The end of a connection is seen a moment later.
  Values taken_by_next() {
    for (int i = 0; i < 500; ++i) {
      DescriptorKeeper keeper = start();
      auto files = keeper.take();
      if (files) {
        next_ = std::move(keeper);
        return values(std::move(files));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "it stays busy";
    return {};
  }
  bool is_gone() {
    for (int i = 0; i < 500 && std::filesystem::exists(path_); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return !std::filesystem::exists(path_);
  }

  std::string path_ = "/tmp/uvdo-keeper-test." + std::to_string(getpid());
  DescriptorKeeper next_;
};

TEST_F(DescriptorKeeperTest, HasWhatAServerThatDiedHadGivenIt) {
  {
    DescriptorKeeper first = start();
    EXPECT_TRUE(values(first.take()).empty());
    EXPECT_TRUE(first.keep(file_with(7).descriptor().get(), "memory-1").ok());
    EXPECT_EQ(start().take().error().code(), Errc::busy) << "it has a server";
  }
  EXPECT_EQ(taken_by_next(), (Values{{"memory-1", 7}}));
  EXPECT_TRUE(next_.keep(file_with(8).descriptor().get(), "memory-2").ok());
  next_ = DescriptorKeeper();  // it dies, too, before it is done with the first
  EXPECT_EQ(taken_by_next(), (Values{{"memory-1", 7}, {"memory-2", 8}}));
  EXPECT_TRUE(next_.keep(file_with(9).descriptor().get(), "memory-2").ok());
  EXPECT_TRUE(next_.forget("memory-1").ok());
  next_ = DescriptorKeeper();
  EXPECT_EQ(taken_by_next(), (Values{{"memory-2", 9}}));
}

TEST_F(DescriptorKeeperTest, IsOfWhoTakesAndNotOfWhoHasOnlyComeFirst) {
  {
    DescriptorKeeper dead = start();
    EXPECT_TRUE(dead.keep(file_with(7).descriptor().get(), "memory-1").ok());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // until its end is seen
  DescriptorKeeper first = start();  // waits for the lock, which the second one gets
  DescriptorKeeper second = start();
  EXPECT_EQ(values(second.take()), (Values{{"memory-1", 7}}));
  EXPECT_EQ(first.take().error().code(), Errc::busy);
  second.end();
  EXPECT_TRUE(is_gone());
}

TEST_F(DescriptorKeeperTest, StaysForWhoIsNextWhenItsServerEnds) {
  DescriptorKeeper server = start();
  DescriptorKeeper next = start();
  EXPECT_TRUE(server.keep(file_with(1).descriptor().get(), "x").ok());
  server.end();
  EXPECT_TRUE(values(next.take()).empty());
  EXPECT_TRUE(next.keep(file_with(2).descriptor().get(), "y").ok());
  EXPECT_EQ(values(next.take()), (Values{{"y", 2}}));
  next.end();
}

TEST_F(DescriptorKeeperTest, RefusesWhatItHasNoRoomFor) {
  DescriptorKeeper keeper = start();
  const MemoryFile file = file_with(1);
  const std::string longest(DescriptorKeeper::kLongestName - 2, 'x');
  EXPECT_FALSE(keeper.keep(file.descriptor().get(), longest + "yyy").ok());
  for (std::size_t i = 0; i < DescriptorKeeper::kMost; ++i) {
    ASSERT_TRUE(keeper.keep(file.descriptor().get(), longest + std::to_string(i)).ok());
  }
  EXPECT_FALSE(keeper.keep(file.descriptor().get(), "one more").ok());
  EXPECT_EQ(values(keeper.take()).size(), DescriptorKeeper::kMost);
  keeper.end();
}

TEST_F(DescriptorKeeperTest, EndsWhenItIsTold) {
  DescriptorKeeper keeper = start();
  EXPECT_TRUE(keeper.keep(file_with(1).descriptor().get(), "x").ok());
  keeper.end();
  EXPECT_TRUE(is_gone());
}

TEST_F(DescriptorKeeperTest, EndsWhenItHoldsNothingForNobody) {
  { const DescriptorKeeper keeper = start(); }
  EXPECT_TRUE(is_gone());
}

}  // namespace
}  // namespace uvdo
