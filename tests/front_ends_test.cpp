// SPDX-License-Identifier: GPL-2.0-or-later
// Front ends without an engine. This program is linked against nbd, fuse and what lies beneath them
// (net, block) alone: it does not link if a front end ever needs the volume. Two of them offer one
// device in memory and share its budget of requests.
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "async/blocking_call.h"
#include "base/testing/temporary_folder.h"
#include "block/testing/memory_block_service.h"
#include "fuse/fuse_server.h"
#include "nbd/nbd_server.h"
#include "nbd/testing/blocking_client.h"
#include "nbd/testing/nbd_script.h"

namespace uvdo {
namespace {

constexpr std::uint32_t kBudget = 2;
constexpr unsigned kReads = 3;
constexpr std::uint32_t kLength = 4096;

/// One front end at a unix socket, and a client of it that reads.
struct Door {
  Door(UringLoop& loop, RequestBudget& budget, BlockService& service, const std::string& name)
      : path(::testing::TempDir() + "uvdo-front-end-" + name + std::to_string(getpid())) {
    auto nbd = std::make_unique<NbdServer>(loop, budget, NbdServer::Settings());
    nbd->add_export({"", "", &service, 1});
    EXPECT_TRUE(nbd->listen({SocketAddress::Kind::unix_path, path, {}}).ok());
    front_end = std::move(nbd);
  }
  void read() {
    client = std::jthread([this] {
      testing::NbdScript script;
      script.choose(false);
      for (unsigned i = 0; i < kReads; ++i) {
        script.request(nbd::Command::read, i * kLength, kLength);
      }
      testing::BlockingClient reader(path);
      reader.exchange(script.bytes(), nbd::kGreetingSize + testing::kExportAnswer +
                                          kReads * (nbd::kSimpleReplySize + kLength));
      is_served = reader.is_well();
    });
  }
  std::string path;
  std::unique_ptr<FrontEnd> front_end;
  std::atomic<bool> is_served = false;
  std::jthread client;
};

Task<void> wait_until(Executor& executor, const std::function<bool()>& condition) {
  Alarm pause(executor);
  for (int i = 0; i < 2000 && !condition(); ++i) co_await pause.sleep(std::chrono::milliseconds(5));
  EXPECT_TRUE(condition());
}

Task<void> serve_two(UringLoop& loop) {
  testing::MemoryBlockService service(loop, {.size = 1U << 20U});
  RequestBudget budget(loop, kBudget);
  Door first(loop, budget, service, "a");
  Door second(loop, budget, service, "b");
  for (Door* door : {&first, &second}) {
    const auto started = co_await door->front_end->start();
    EXPECT_TRUE(started.ok());
    EXPECT_EQ(door->front_end->addresses().size(), 1U);
  }
  service.hold();
  first.read();
  co_await wait_until(loop, [&] { return service.counts.reads == 1; });
  second.read();
  co_await wait_until(loop, [&] { return service.counts.reads == kBudget; });
  EXPECT_EQ(first.front_end->clients(), 1U);
  // Neither has another in flight, though both have asked for more.
  Alarm pause(loop);
  co_await pause.sleep(std::chrono::milliseconds(50));
  EXPECT_EQ(service.counts.reads, kBudget);
  service.let_go();
  co_await wait_until(loop, [&] { return first.is_served && second.is_served; });
  EXPECT_EQ(service.counts.reads, 2 * kReads);
  for (Door* door : {&first, &second}) {
    door->front_end->size_changed();
    co_await door->front_end->shutdown();
  }
  EXPECT_TRUE(budget.is_idle());
}

TEST(FrontEnds, TwoOfOneDeviceShareItsBudgetOfRequests) {
  auto loop = UringLoop::create();
  ASSERT_TRUE(loop.ok()) << loop.error().message();
  (*loop)->run(serve_two(**loop));
}

Task<void> serve_by_two_kinds(UringLoop& loop, const std::string& folder) {
  testing::MemoryBlockService service(loop, {.size = 1U << 20U});
  RequestBudget budget(loop, kBudget);
  Door door(loop, budget, service, "c");
  FuseServer::Settings settings;
  settings.folder = folder;
  FuseServer file(loop, service, budget, settings);
  const std::array<FrontEnd*, 2> all{door.front_end.get(), &file};
  for (FrontEnd* front_end : all) {
    const auto started = co_await front_end->start();
    EXPECT_TRUE(started.ok());
  }
  service.bytes()[5] = std::byte{'v'};
  const std::string path = file.addresses().front().name;
  const auto look = [&path]() -> Result<int> {
    std::ifstream reader(path);
    reader.seekg(5);
    return reader.get();
  };
  door.read();
  const auto seen = co_await call_blocking(loop, Descriptors::shared, look);
  EXPECT_TRUE(seen.ok() && *seen == 'v');
  co_await wait_until(loop, [&] { return door.is_served.load(); });
  for (FrontEnd* front_end : all) co_await front_end->shutdown();
  EXPECT_TRUE(budget.is_idle());
}

TEST(FrontEnds, AFileAndNbdClientsUseOneDevice) {
  if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "FUSE cannot be used here";
  }
  const testing::TemporaryFolder folder;
  auto loop = UringLoop::create();
  ASSERT_TRUE(loop.ok()) << loop.error().message();
  (*loop)->run(serve_by_two_kinds(**loop, folder.path()));
}

}  // namespace
}  // namespace uvdo
