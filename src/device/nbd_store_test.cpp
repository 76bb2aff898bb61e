// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/nbd_store.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <future>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/task.h"
#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "base/store_name.h"
#include "device/testing/nbd_test_server.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;
using Offer = testing::NbdTestServer::Offer;

class NbdStoreTest : public ::testing::Test {
 protected:
  void TearDown() override {
    store_.reset();
    unlink(file_of_store(server_.uri()).c_str());
  }
  void open(const Offer& offer, milliseconds patience = std::chrono::seconds(60)) {
    ASSERT_TRUE(server_.is_listening());
    server_.offer(offer);
    auto opened = NbdStore::open(nullptr, server_.uri(), OpenMode::read_write, patience);
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = std::move(*opened);
  }
  /// errno
  int request(Device::Op op, std::uint64_t offset, MutableBytes bytes,
              Durability durability = Durability::cached) {
    const iovec slice{bytes.data(), bytes.size()};
    Device::Request request;
    request.op = op;
    request.offset = offset;
    request.length = bytes.size();
    request.durability = durability;
    if (!bytes.empty()) request.slices = {&slice, 1};
    store_->submit(request);
    return request.error;
  }
  int write(char letter, std::uint64_t bytes, Durability durability = Durability::cached) {
    const AlignedMemory memory(bytes);
    std::ranges::fill(memory.bytes(), static_cast<std::byte>(letter));
    return request(Device::Op::write, 0, memory.bytes(), durability);
  }
  int flush() { return request(Device::Op::flush, 0, {}); }
  /// The bytes at the beginning; '!' if they cannot be read.
  std::string read(std::uint64_t count) {
    std::string text(count, '?');
    const int error =
        request(Device::Op::read, 0, {reinterpret_cast<std::byte*>(text.data()), text.size()});
    return error == 0 ? text : "!";
  }

  testing::NbdTestServer server_{::testing::TempDir() + "uvdo_nbd_" + std::to_string(getpid())};
  std::unique_ptr<NbdStore> store_;
};

TEST_F(NbdStoreTest, WhatALivingServerWasAskedForEndsBeforeItIsConnectedToAnew) {
  open({});
  const std::size_t at_first = server_.connections();
  ASSERT_EQ(at_first, 4U);
  server_.be_silent(true);
  auto written = std::async([this] { return write('a', 4 * (64U << 10U)); });
  ASSERT_TRUE(server_.wait_for_kept(at_first));
  server_.hang_up(0);
  std::this_thread::sleep_for(milliseconds(200));  // the first pause is a quarter of that
  EXPECT_EQ(server_.connections(), at_first);
  server_.be_silent(false);
  EXPECT_EQ(written.get(), 0);
  EXPECT_GT(server_.connections(), at_first);
  EXPECT_EQ(read(4 * (64U << 10U)), std::string(4 * (64U << 10U), 'a'));
}

TEST_F(NbdStoreTest, SoItIsWhereNobodyWaitsForARequest) {
  auto loop = UringLoop::create(64);
  ASSERT_TRUE(loop) << loop.error().message();
  server_.offer({});
  auto opened = NbdStore::open(loop->get(), server_.uri(), OpenMode::read_write);
  ASSERT_TRUE(opened) << opened.error().message();
  server_.be_silent(true);
  auto connections = std::async([this] {
    EXPECT_TRUE(server_.wait_for_kept(4));
    server_.hang_up(0);
    std::this_thread::sleep_for(milliseconds(200));
    const std::size_t count = server_.connections();
    server_.be_silent(false);
    return count;
  });
  (*loop)->run([](Device& store) -> Task<void> {
    const AlignedMemory written(4 * (64U << 10U));
    const AlignedMemory got(written.size());
    std::ranges::fill(written.bytes(), std::byte{'l'});
    const auto stored = co_await store.write(0, written.bytes());
    EXPECT_TRUE(stored);
    const auto flushed = co_await store.flush();
    EXPECT_TRUE(flushed);
    const auto read = co_await store.read(0, got.bytes());
    EXPECT_TRUE(read);
    EXPECT_TRUE(std::ranges::equal(written.bytes(), got.bytes()));
  }(**opened));
  EXPECT_EQ(connections.get(), 4U);
  EXPECT_GT(server_.connections(), 4U);
}

TEST_F(NbdStoreTest, AFailedFlushOfItsOwnIsToldUntilALaterOneHasSucceeded) {
  open({});
  server_.fail_flushes(EIO);
  EXPECT_EQ(write('a', kBlockSize, Durability::fua), EIO);
  EXPECT_EQ(flush(), EIO);
  EXPECT_EQ(server_.flushes(), 2U);
  server_.fail_flushes(0);
  EXPECT_EQ(flush(), EIO) << "this one has succeeded, but stands for what went before";
  EXPECT_EQ(flush(), 0);
  server_.fail_flushes(EIO);
  EXPECT_EQ(write('b', kBlockSize, Durability::fua), EIO);
  ASSERT_TRUE(store_->release());
  server_.fail_flushes(0);
  ASSERT_TRUE(store_->reopen());
  EXPECT_EQ(flush(), 0) << "what was let go of is another matter";
}

TEST_F(NbdStoreTest, AFailedFlushOfItsOwnFailsThoseUnderWay) {
  auto loop = UringLoop::create(64);
  ASSERT_TRUE(loop) << loop.error().message();
  server_.offer({});
  auto opened = NbdStore::open(loop->get(), server_.uri(), OpenMode::read_write);
  ASSERT_TRUE(opened) << opened.error().message();
  (*loop)->run(
      [](UringLoop& executor, Device& store, testing::NbdTestServer& server) -> Task<void> {
        const auto flush = [](Device& device, bool* is_done) -> Task<void> {
          const auto flushed = co_await device.flush();
          EXPECT_FALSE(flushed) << "the server may have dropped what it is for";
          *is_done = true;
        };
        bool is_done = false;
        server.be_silent(true);
        TaskGroup flushes(executor);
        flushes.start(flush(store, &is_done));
        EXPECT_TRUE(server.wait_for_kept(1));
        server.answer_what_comes();
        server.fail_flushes(EIO);
        const AlignedMemory memory(kBlockSize);
        const auto stored = co_await store.write(0, memory.bytes(), Durability::fua);
        EXPECT_FALSE(stored);
        EXPECT_FALSE(is_done);
        server.fail_flushes(0);
        server.be_silent(false);
        co_await flushes.wait();
      }(**loop, **opened, server_));
}

TEST_F(NbdStoreTest, AServerThatComesBackWithLessIsNotBelieved) {
  for (const Offer& less : {Offer{.flush = false, .fua = true}, Offer{.fua = false},
                            Offer{.fua = true, .longest_data = 32U << 10U}}) {
    open({.fua = true}, milliseconds(200));
    const std::size_t before = server_.connections();
    server_.offer(less);
    for (std::size_t i = before - 4; i < before; ++i) server_.hang_up(i);
    EXPECT_EQ(read(kBlockSize), "!");
    server_.offer({.fua = true});
    EXPECT_EQ(read(kBlockSize), std::string(kBlockSize, '\0'));
    store_.reset();
  }
}

TEST_F(NbdStoreTest, ABrokenConnectionTakesNothingBack) {
  open({.fua = true});
  EXPECT_EQ(write('a', 2 * kBlockSize), 0);
  EXPECT_EQ(write('b', kBlockSize, Durability::fua), 0);
  for (std::size_t i = 0; i < 4; ++i) server_.hang_up(i);
  EXPECT_EQ(read(2 * kBlockSize), std::string(kBlockSize, 'b') + std::string(kBlockSize, 'a'));
}

TEST_F(NbdStoreTest, TheSizeIsLookedUpAtAServerOfOneClient) {
  open({.multi_conn = false});
  EXPECT_EQ(write('a', kBlockSize), 0);
  server_.offer({.size = 2U << 20U, .multi_conn = false});
  auto size = store_->look_up_size();
  ASSERT_TRUE(size) << size.error().message();
  EXPECT_EQ(*size, 2U << 20U);
  EXPECT_EQ(server_.flushes(), 1U);
  server_.fail_flushes(EIO);
  EXPECT_EQ(write('b', kBlockSize), 0);
  EXPECT_FALSE(store_->look_up_size());
  EXPECT_EQ(server_.connections(), 2U) << "what is not flushed stays with its connection";
}

TEST_F(NbdStoreTest, TheEndOfAnOddExportIsReachedByRequestsOfAnySize) {
  open({.size = (1U << 20U) + 512, .least_block = 512});
  std::array<std::byte, 10> bytes{std::byte{'e'}};
  const std::uint64_t offset = (1U << 20U) + 500;
  EXPECT_EQ(request(Device::Op::write, offset, bytes), 0);
  bytes.fill(std::byte{});
  EXPECT_EQ(request(Device::Op::read, offset, bytes), 0);
  EXPECT_EQ(bytes.front(), std::byte{'e'});
}

}  // namespace
}  // namespace uvdo
