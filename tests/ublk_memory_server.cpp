// SPDX-License-Identifier: GPL-2.0-or-later
// Serves memory as /dev/ublkbN, for the tests with a kernel: what the front end does and costs,
// without a volume behind it. With --file the memory is a file's, and outlives the server as what a
// volume has answered outlives its own. Prints "ready" and the device; ends it on SIGTERM, leaves
// it to another server on SIGUSR1, and grows to --grow-to on SIGHUP.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "arguments/arguments.h"
#include "block/testing/mapped_memory.h"
#include "block/testing/memory_block_service.h"
#include "ublk/kernel_ublk_driver.h"
#include "ublk/ublk_device.h"

namespace uvdo {
namespace {

struct Arguments {
  testing::MemoryBlockService::Options memory{.size = 64 << 20};
  std::string file;
  std::uint64_t grow_to = 0;
  std::uint64_t fail_at = UINT64_MAX;
  std::uint32_t max_requests = RequestBudget::kUsual;
  std::uint32_t number = ublk::kAnyDevice;
  std::uint32_t take_over = ublk::kAnyDevice;
  std::uint32_t end = ublk::kAnyDevice;
  bool find = false;
  bool nothing_lost = false;
  bool not_recoverable = false;
  std::uint32_t max_io = 0;
  int drain_ms = 5000;
  int patience_ms = 60000;
  UblkDevice::Settings device;
};

UblkDevice::Settings settings_of(const Arguments& arguments) {
  UblkDevice::Settings settings = arguments.device;
  if (arguments.number != ublk::kAnyDevice) settings.device = arguments.number;
  if (arguments.take_over != ublk::kAnyDevice) {
    settings.takeover = UblkTakeover{arguments.take_over, arguments.nothing_lost,
                                     std::chrono::milliseconds(arguments.patience_ms)};
  }
  settings.is_recoverable = !arguments.not_recoverable;
  if (arguments.max_io > 0) settings.max_io_bytes = arguments.max_io;
  settings.drain_limit = std::chrono::milliseconds(arguments.drain_ms);
  settings.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  settings.on_lost = [] { kill(getpid(), SIGTERM); };
  return settings;
}

/// Ends a device that another process serves, or none.
Task<Result<void>> end_device(Executor& executor, UblkDriver& driver, std::uint32_t number) {
  UblkControl control(executor, driver);
  auto device = co_await control.info(number);
  if (!device) co_return std::move(device).error();
  Result<void> ended = co_await control.end(*device, std::chrono::seconds(2));
  co_return ended;
}

/// Serves until a signal says otherwise.
Task<Result<void>> serve_device(UringLoop& loop, UblkDriver& driver, const Arguments& arguments,
                                int signal_fd) {
  testing::MemoryBlockService service(loop, arguments.memory);
  if (arguments.fail_at != UINT64_MAX) service.fail_at(arguments.fail_at, Errc::io);
  RequestBudget budget(loop, arguments.max_requests);
  UblkDevice::Settings settings = settings_of(arguments);
  if (arguments.find) {
    UblkControl control(loop, driver);
    auto found = co_await control.find(settings.identity);
    if (!found) co_return std::move(found).error();
    if (*found) {
      settings.takeover = UblkTakeover{(*found)->device, arguments.nothing_lost,
                                       std::chrono::milliseconds(arguments.patience_ms)};
    }
  }
  UblkDevice device(loop, driver, service, budget, std::move(settings));
  Result<void> done = co_await device.start();
  if (!done) co_return done;
  fmt::print("ready {}\n", device.addresses().front().name);
  std::fflush(stdout);
  for (bool serves = true; serves;) {
    signalfd_siginfo info{};
    [[maybe_unused]] const int signalled = co_await loop.perform(
        [&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, signal_fd, &info, sizeof info, 0); });
    switch (info.ssi_signo) {
      case SIGHUP:
        service.grow(arguments.grow_to);
        device.size_changed();
        break;
      case SIGUSR2: service.hold(); break;
      case SIGUSR1: {
        Result<void> left = co_await device.leave();
        done = std::move(left);
        serves = false;
        break;
      }
      default: co_await device.shutdown(); serves = false;
    }
  }
  const auto& counts = service.counts;
  fmt::print("reads {} writes {} fua {} discards {} zeroes {} flushes {}\n", counts.reads,
             counts.writes, counts.fua_writes, counts.discards, counts.zeroes, counts.flushes);
  co_return done;
}

Task<void> serve(UringLoop& loop, const Arguments& arguments, int signal_fd, int& status) {
  auto driver = KernelUblkDriver::open(loop);
  Result<void> done;
  if (!driver) {
    done = std::move(driver).error();
  } else {
    auto work = arguments.end != ublk::kAnyDevice
                    ? end_device(loop, **driver, arguments.end)
                    : serve_device(loop, **driver, arguments, signal_fd);
    Result<void> served = co_await std::move(work);
    done = std::move(served);
    co_await (*driver)->close();
  }
  if (!done) fmt::print(stderr, "{}\n", done.error().message());
  status = done ? 0 : 1;
}

int run(int argc, char** argv) {
  Arguments arguments;
  uvdo::Arguments app("Serves memory as a ublk device, for tests.", "ublk_memory_server");
  app.option("--size", arguments.memory.size);
  app.option("--file", arguments.file, "keeps the memory in this file");
  app.option("--grow-to", arguments.grow_to, "the size from a SIGHUP on");
  app.option("--fail-at", arguments.fail_at);
  app.flag("--read-only", arguments.memory.read_only);
  app.flag("--null", arguments.memory.null);
  app.option("--number", arguments.number);
  app.option("--identity", arguments.device.identity);
  app.option("--take-over", arguments.take_over, "the number of a device");
  app.option("--end", arguments.end, "ends the device of this number, and does nothing else");
  app.flag("--find", arguments.find, "takes over the device of that identity, if there is one");
  app.flag("--nothing-lost", arguments.nothing_lost);
  app.flag("--not-recoverable", arguments.not_recoverable);
  app.flag("--unprivileged", arguments.device.is_unprivileged);
  app.flag("--driver-copies", arguments.device.driver_copies);
  app.flag("--write-through", arguments.device.writes_through);
  app.option("--queues", arguments.device.queues);
  app.option("--depth", arguments.device.depth);
  app.option("--logical-block", arguments.device.logical_block_size);
  app.option("--max-io", arguments.max_io);
  app.option("--max-requests", arguments.max_requests);
  app.option("--drain-ms", arguments.drain_ms);
  app.option("--patience-ms", arguments.patience_ms);
  if (auto status = app.parse(argc, argv)) return *status;
  arguments.memory.room = arguments.grow_to;
  std::optional<testing::MappedMemory> memory;
  if (!arguments.file.empty()) {
    memory.emplace(std::max(arguments.memory.size, arguments.grow_to), arguments.file);
    arguments.memory.memory = memory->get();
  }

  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
  auto loop = UringLoop::create();
  if (!loop) {
    fmt::print(stderr, "{}\n", loop.error().message());
    return 1;
  }
  int status = 1;
  (*loop)->run(serve(**loop, arguments, signal_fd, status));
  return status;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::run(argc, argv); }
