// SPDX-License-Identifier: GPL-2.0-or-later
// A client's requests take no memory from the heap, however many are in flight: the volume may hold
// the swap space of the machine that serves it.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/testing/heap_use.h"
#include "block/testing/memory_block_service.h"
#include "nbd/nbd_server.h"
#include "nbd/testing/blocking_client.h"
#include "nbd/testing/nbd_script.h"

namespace uvdo {
namespace {

using nbd::Command;
using testing::NbdScript;

constexpr std::uint64_t kSize = 64ULL << 20U;

TEST(NbdHeapUse, RequestsTakeNone) {
  if (!testing::kCountsAllocations) GTEST_SKIP() << "this C library or sanitizer has its own heap";
  auto loop = UringLoop::create();
  ASSERT_TRUE(loop.ok()) << loop.error().message();
  testing::MemoryBlockService::Options memory;
  memory.size = kSize;
  testing::MemoryBlockService service(**loop, memory);
  const std::string path = ::testing::TempDir() + "uvdo-nbd-heap-" + std::to_string(getpid());
  const auto address = SocketAddress::parse("unix:" + path);
  ASSERT_TRUE(address.ok());

  NbdScript greeting;
  greeting.choose(false);
  // A round: small and large requests of all kinds, many of them under way together.
  NbdScript round;
  std::size_t replies = 0;
  for (unsigned i = 0; i < 300; ++i) {
    const std::uint32_t length = i % 50 == 0 ? 700000 : 4096 * (i % 3 + 1);
    const std::uint64_t offset = i * 100003 % (kSize - length);
    round.request(Command::write, offset, length).raw(std::string(length, 'a'));
    round.request(Command::read, offset, length);
    round.request(i % 2 == 0 ? Command::trim : Command::write_zeroes, offset, 8192);
    if (i % 10 == 0) round.request(Command::flush, 0, 0);
    replies += (i % 10 == 0 ? 4 : 3) * nbd::kSimpleReplySize + length;
  }
  std::uint64_t taken = 0;
  bool is_well = false;
  std::atomic<bool> has_ended = false;
  const auto talk = [&] {
    testing::BlockingClient client(path);
    client.exchange(greeting.bytes(), nbd::kGreetingSize + testing::kExportAnswer);
    for (unsigned i = 0; i < 4; ++i) client.exchange(round.bytes(), replies);
    const std::uint64_t before = testing::allocations();
    for (unsigned i = 0; i < 12; ++i) client.exchange(round.bytes(), replies);
    taken = testing::allocations() - before;
    is_well = client.is_well();
    has_ended = true;
  };
  (*loop)->run([](UringLoop& at, BlockService& volume, const SocketAddress& where,
                  const auto& client, const std::atomic<bool>& ended) -> Task<void> {
    RequestBudget budget(at, RequestBudget::kUsual);
    NbdServer server(at, budget, {});
    server.add_export({"", "", &volume, 1});
    const auto listening = server.listen(where);
    EXPECT_TRUE(listening.ok());
    const auto started = co_await server.start();
    EXPECT_TRUE(started.ok());
    const std::jthread other(client);
    Alarm pause(at);
    while (!ended) co_await pause.sleep(std::chrono::milliseconds(5));
    co_await server.shutdown();
  }(**loop, service, *address, talk, has_ended));
  EXPECT_TRUE(is_well);
  EXPECT_EQ(taken, 0U);
}

}  // namespace
}  // namespace uvdo
