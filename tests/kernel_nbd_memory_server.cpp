// SPDX-License-Identifier: GPL-2.0-or-later
// Serves a file's memory as a device of the kernel's NBD client, for tests in a virtual machine:
// what the front end does, without a volume behind it. In a tmpfs the file outlives a server that
// is killed. Prints "ready" and the device. SIGTERM detaches it, SIGHUP leaves it for the next
// server, SIGUSR1 makes it larger. --disconnect DEVICE ends any device, and nothing else.
#include <algorithm>
#include <csignal>

#include <fmt/format.h>
#include <sys/signalfd.h>

#include "arguments/arguments.h"
#include "async/blocking_call.h"
#include "base/file_descriptor.h"
#include "block/testing/mapped_memory.h"
#include "block/testing/memory_block_service.h"
#include "device/device_users.h"
#include "nbd/kernel_nbd_device.h"

namespace uvdo {
namespace {

struct Arguments {
  std::string file;
  std::string device;
  std::string identifier = "memory";
  std::string disconnect;
  std::uint64_t size = 64 << 20;
  std::uint64_t grown = 0;
  std::uint32_t block = 4096;
  std::uint32_t dead_limit = 600;
  bool read_only = false;
};

using Users = Result<std::vector<std::string>>;

int complain(const Error& error) {
  fmt::print(stderr, "{}\n", error.message());
  return 1;
}

Task<void> serve(UringLoop& loop, const Arguments& arguments, int signals, int& status) {
  const testing::MappedMemory memory(std::max(arguments.size, arguments.grown), arguments.file);
  testing::MemoryBlockService::Options options;
  options.size = arguments.size;
  options.room = std::max(arguments.size, arguments.grown);
  options.memory = memory.get();
  options.read_only = arguments.read_only;
  testing::MemoryBlockService service(loop, options);
  RequestBudget budget(loop, RequestBudget::kUsual);
  KernelNbdDevice::Settings settings;
  settings.identifier = arguments.identifier;
  settings.block_size = arguments.block;
  settings.dead_limit = std::chrono::seconds(arguments.dead_limit);
  settings.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  if (!arguments.device.empty()) {
    auto index = parse_kernel_nbd_name(arguments.device);
    if (!index) {
      status = complain(index.error());
      co_return;
    }
    settings.index = *index;
  }
  KernelNbdDevice device(loop, service, budget, std::move(settings));
  if (auto started = co_await device.start(); !started) {
    status = complain(started.error());
    co_return;
  }
  fmt::print("ready {}{}\n", device.addresses().front().name,
             device.has_taken_over() ? " taken over" : "");
  std::fflush(stdout);
  for (;;) {
    signalfd_siginfo info{};
    [[maybe_unused]] const int read = co_await loop.perform(
        [&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, signals, &info, sizeof info, 0); });
    if (info.ssi_signo == SIGUSR1) {
      service.grow(arguments.grown);
      device.size_changed();
      continue;
    }
    if (info.ssi_signo == SIGHUP) {
      const auto left = co_await device.leave();
      if (!left) status = 1;
      break;
    }
    const std::string path = device.addresses().front().name;
    const auto look = [&path]() -> Users { return DeviceUsers().of(*StorageId::at(path)); };
    const Users users = co_await call_blocking(loop, Descriptors::own, look);
    if (!users || !users->empty()) {
      fmt::print(stderr, "{} is in use: {}\n", path,
                 users ? fmt::format("{}", fmt::join(*users, ", ")) : users.error().message());
      continue;
    }
    co_await device.shutdown();
    break;
  }
  const auto& counts = service.counts;
  fmt::print("writes {} fua {} discards {} zeroes {} flushes {}\n", counts.writes,
             counts.fua_writes, counts.discards, counts.zeroes, counts.flushes);
  status = 0;
}

Result<void> disconnect(const std::string& name) {
  const auto index = parse_kernel_nbd_name(name);
  if (!index) return index.error().clone();
  auto client = KernelNbdClient::open();
  if (!client) return std::move(client).error();
  return client->disconnect(*index);
}

int run(int argc, char** argv) {
  Arguments arguments;
  uvdo::Arguments app("Serves a file's memory as /dev/nbdN, for tests.",
                      "kernel_nbd_memory_server");
  app.option("--file", arguments.file);
  app.option("--device", arguments.device);
  app.option("--identifier", arguments.identifier);
  app.option("--disconnect", arguments.disconnect);
  app.option("--size", arguments.size);
  app.option("--grown", arguments.grown, "bytes after SIGUSR1");
  app.option("--block", arguments.block);
  app.option("--dead-limit", arguments.dead_limit, "seconds");
  app.flag("--read-only", arguments.read_only);
  if (auto status = app.parse(argc, argv)) return *status;

  if (!arguments.disconnect.empty()) {
    const auto done = disconnect(arguments.disconnect);
    return done ? 0 : complain(done.error());
  }
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const FileDescriptor signals(signalfd(-1, &set, SFD_CLOEXEC));
  auto loop = UringLoop::create();
  if (!loop) return complain(loop.error());
  int status = 1;
  (*loop)->run(serve(**loop, arguments, signals.get(), status));
  return status;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::run(argc, argv); }
