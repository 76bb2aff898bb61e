// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/memory_keeper.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/memory_file.h"

namespace uvdo {
namespace {

class MemoryKeeperTest : public ::testing::Test {
 protected:
  ~MemoryKeeperTest() override {
    if (auto keeper = MemoryKeeper::start(path_, "/")) keeper->end();
  }
  MemoryKeeper start() {
    auto started = MemoryKeeper::start(path_, "/");
    EXPECT_TRUE(started.ok()) << (started ? "" : started.error().message());
    return started ? std::move(*started) : MemoryKeeper();
  }
  static MemoryFile file_with(int value) {
    auto made = MemoryFile::create("test", 4096);
    EXPECT_TRUE(made.ok());
    made->bytes()[0] = static_cast<std::byte>(value);
    return std::move(*made);
  }
  static std::vector<int> values(Result<std::vector<FileDescriptor>> files) {
    std::vector<int> found;
    EXPECT_TRUE(files.ok());
    for (FileDescriptor& fd : *files) {
      auto file = MemoryFile::adopt(std::move(fd));
      EXPECT_TRUE(file.ok());
      found.push_back(std::to_integer<int>(file->bytes()[0]));
    }
    return found;
  }
  /// The end of a connection is seen a moment later.
  std::vector<int> taken_by_next() {
    for (int i = 0; i < 500; ++i) {
      MemoryKeeper keeper = start();
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
  MemoryKeeper next_;
};

TEST_F(MemoryKeeperTest, HasWhatAServerThatDiedHadGivenIt) {
  {
    MemoryKeeper first = start();
    EXPECT_TRUE(values(first.take()).empty());
    const MemoryFile memory = file_with(7);
    EXPECT_TRUE(first.keep(memory.descriptor()).ok());
    EXPECT_EQ(start().take().error().code(), Errc::busy) << "it has a server";
  }
  EXPECT_EQ(taken_by_next(), std::vector<int>{7});
  const MemoryFile own = file_with(8);
  EXPECT_TRUE(next_.keep(own.descriptor()).ok());
  next_ = MemoryKeeper();  // it dies, too, before it is done with the first
  EXPECT_EQ(taken_by_next(), (std::vector<int>{7, 8}));
  EXPECT_TRUE(next_.keep(file_with(9).descriptor()).ok());
  EXPECT_TRUE(next_.forget_others().ok());
  next_ = MemoryKeeper();
  EXPECT_EQ(taken_by_next(), std::vector<int>{9});
  EXPECT_TRUE(next_.keep(file_with(10).descriptor()).ok());
  next_.forget_own();
  next_ = MemoryKeeper();
  EXPECT_EQ(taken_by_next(), std::vector<int>{9});
}

TEST_F(MemoryKeeperTest, EndsWhenItIsTold) {
  MemoryKeeper keeper = start();
  EXPECT_TRUE(keeper.keep(file_with(1).descriptor()).ok());
  keeper.end();
  EXPECT_TRUE(is_gone());
}

TEST_F(MemoryKeeperTest, EndsWhenItHoldsNothingForNobody) {
  { const MemoryKeeper keeper = start(); }
  EXPECT_TRUE(is_gone());
}

}  // namespace
}  // namespace uvdo
