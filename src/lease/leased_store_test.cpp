// SPDX-License-Identifier: GPL-2.0-or-later
// A store on a file, whose lease another machine takes.
#include "lease/leased_store.h"

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/alarm.h"
#include "base/aligned_memory.h"
#include "device/open_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kVolumeNonce = 17;
constexpr std::uint64_t kPlace = 8 * kBlockSize;

struct LeasedStoreTest : testing::Test {
  LeasedStoreTest()
      : path(std::filesystem::temp_directory_path() / ("uvdo-leased-" + std::to_string(getpid()))) {
    std::ofstream(path).close();
    std::filesystem::resize_file(path, 16 * kBlockSize);
    auto opened = RecordStorage::open(path, OpenMode::read_write, std::chrono::seconds(1));
    EXPECT_TRUE(opened);
    storage = std::move(*opened);
    OwnerRecord record;
    record.lease_seconds = kShortestLease;
    leave(record);
    auto made = UringLoop::create(64);
    EXPECT_TRUE(made);
    loop = std::move(*made);
  }
  ~LeasedStoreTest() override { std::filesystem::remove(path); }

  void leave(const OwnerRecord& record) {
    encode_owner_record(record, kVolumeNonce, block.bytes());
    EXPECT_TRUE(storage->write(kPlace, block.bytes()));
  }
  OwnerRecord found() {
    auto record = find_owner_record(*storage, {path, kVolumeNonce, kPlace});
    EXPECT_TRUE(record && *record);
    return (**record).record;
  }
  std::unique_ptr<LeasedStore> open() {
    const LeasedStore::Claim claim = [this](const RecordPlace& place) {
      auto own = RecordStorage::open(path, OpenMode::read_write, std::chrono::seconds(1));
      return LeaseKeeper::claim(std::move(*own), place, Claimant{owner_here(), std::nullopt, false},
                                [](const std::string&) {});
    };
    const RecordPlace place{path, kVolumeNonce, kPlace};
    auto store = open_device(*loop, path, OpenMode::read_write);
    auto keeper = claim(place);
    EXPECT_TRUE(store && keeper);
    return std::make_unique<LeasedStore>(*loop, std::move(*store), std::move(*keeper), place,
                                         claim);
  }
  Result<void> write(LeasedStore& store) {
    Result<void> done;
    loop->run([](LeasedStore& to, ConstBytes bytes, Result<void>& result) -> Task<void> {
      result = co_await to.write(0, bytes);
    }(store, block.bytes(), done));
    return done;
  }

  std::string path;
  AlignedMemory block{kBlockSize};
  std::unique_ptr<RecordStorage> storage;
  std::unique_ptr<UringLoop> loop;
};

TEST_F(LeasedStoreTest, MakesRequestsUntilAnotherMachineHasTheVolume) {
  auto store = open();
  EXPECT_TRUE(write(*store));
  EXPECT_TRUE(store->look());
  OwnerRecord later = found();
  EXPECT_EQ(later.state, OwnerRecord::State::held);
  later.owner = {};
  later.host = "elsewhere";
  ++later.generation;
  leave(later);
  for (int i = 0; i < 300 && store->last_look(); ++i) usleep(10'000);
  EXPECT_EQ(store->look().error().code(), Errc::read_only);
  EXPECT_NE(store->look().error().message().find("elsewhere (process"), std::string::npos);
  EXPECT_EQ(write(*store).error().code(), Errc::io);
  EXPECT_EQ(store->reopen().error().code(), Errc::read_only);
  store.reset();
  EXPECT_EQ(found(), later) << "what is another one's is not given back";
}

TEST_F(LeasedStoreTest, GivesTheLeaseBackWithTheStore) {
  auto store = open();
  EXPECT_TRUE(store->release());
  EXPECT_EQ(found().state, OwnerRecord::State::free);
  EXPECT_TRUE(store->reopen());
  EXPECT_EQ(found().state, OwnerRecord::State::held);
  EXPECT_TRUE(write(*store));
  store.reset();
  EXPECT_EQ(found().state, OwnerRecord::State::free);
}

}  // namespace
}  // namespace uvdo
