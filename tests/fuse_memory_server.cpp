// SPDX-License-Identifier: GPL-2.0-or-later
// Serves memory as a file in a FUSE mount or as a loop device, for the end-to-end suite and
// measurements: what the front end does and costs, without a volume behind it.
//
// Prints "ready" and its address. SIGUSR1 makes it grow, SIGUSR2 detaches the loop device if nobody
// uses it, and both print a line; it ends on SIGTERM, and prints what was asked of the memory.
#include <array>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "arguments/arguments.h"
#include "block/testing/mapped_memory.h"
#include "block/testing/memory_block_service.h"
#include "fuse/fuse_block_device.h"
#include "fuse/fuse_server.h"

namespace uvdo {
namespace {

struct Arguments {
  std::string folder;
  std::string file = "volume";
  std::string memory;  ///< a file
  std::uint64_t size = 64 << 20;
  std::uint64_t grow_to = 0;
  std::uint64_t fail_at = UINT64_MAX;
  std::uint32_t block_size = 4096;
  std::uint32_t max_requests = RequestBudget::kUsual;
  bool block_device = false;
  bool makes_folder = false;
  bool read_only = false;
  bool null = false;
  bool allow_other = false;
  bool removes = false;
  int keeper = -1;   ///< a socket that the mount's descriptor is sent to
  int adopted = -1;  ///< the descriptor of a mount, kept by somebody
  std::uint32_t adopted_minor = fuse::kOurMinor;
};

void complain(const Error& error) { fmt::print(stderr, "{}\n", error.message()); }

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

/// Sends a copy of the descriptor, and the minor version of the protocol in words.
bool send_to_keeper(int socket, int descriptor, const FuseHandover& state) {
  std::string words = std::to_string(state.agreement.minor);
  iovec data{words.data(), words.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  return sendmsg(socket, &message, 0) > 0;
}

struct Server {
  std::unique_ptr<FuseServer> mount;
  std::unique_ptr<FuseBlockDevice> device;
  [[nodiscard]] FrontEnd& front_end() const {
    return mount ? static_cast<FrontEnd&>(*mount) : *device;
  }
  void adopt(FuseServer::Handover handover) const {
    return mount ? mount->adopt(std::move(handover)) : device->adopt(std::move(handover));
  }
  [[nodiscard]] int descriptor() const {
    return mount ? mount->descriptor() : device->descriptor();
  }
  [[nodiscard]] FuseHandover handover() const {
    return mount ? mount->handover() : device->handover();
  }
};

Server make_server(UringLoop& loop, BlockService& service, RequestBudget& budget,
                   const Arguments& arguments) {
  Server server;
  const auto log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  if (arguments.block_device) {
    FuseBlockDevice::Settings settings;
    settings.folder = arguments.folder;
    settings.file = arguments.file;
    settings.block_size = arguments.block_size;
    settings.log = log;
    server.device = std::make_unique<FuseBlockDevice>(loop, service, budget, std::move(settings));
    return server;
  }
  FuseServer::Settings settings;
  settings.folder = arguments.folder;
  settings.makes_folder = arguments.makes_folder;
  settings.file = arguments.file;
  settings.allow_other = arguments.allow_other;
  if (arguments.allow_other) settings.mode = 0666;
  settings.log = log;
  server.mount = std::make_unique<FuseServer>(loop, service, budget, std::move(settings));
  return server;
}

Task<void> serve(UringLoop& loop, const Arguments& arguments, int signal_fd, int& status) {
  testing::MemoryBlockService::Options options;
  options.size = arguments.size;
  options.room = arguments.grow_to;
  options.read_only = arguments.read_only;
  options.null = arguments.null;
  std::optional<testing::MappedMemory> memory;
  if (!arguments.memory.empty()) {
    memory.emplace(std::max(options.size, options.room), arguments.memory);
    options.memory = memory->get();
  }
  testing::MemoryBlockService service(loop, options);
  if (arguments.fail_at != UINT64_MAX) service.fail_at(arguments.fail_at, Errc::io);
  RequestBudget budget(loop, arguments.max_requests);
  const Server server = make_server(loop, service, budget, arguments);
  if (arguments.adopted >= 0) {
    FuseHandover state;
    state.agreement.minor = arguments.adopted_minor;
    server.adopt({FileDescriptor(arguments.adopted), state});
  }
  Result<void> started = co_await server.front_end().start();
  if (!started) {
    complain(started.error());
    co_return;
  }
  if (arguments.keeper >= 0 &&
      !send_to_keeper(arguments.keeper, server.descriptor(), server.handover())) {
    complain(errno_error(errno, "sending the descriptor away"));
  }
  say("ready " + server.front_end().addresses().front().name);
  for (;;) {
    signalfd_siginfo info{};
    const int got = co_await loop.perform(
        [&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, signal_fd, &info, sizeof info, 0); });
    if (got != sizeof info) continue;
    if (info.ssi_signo == SIGUSR1) {
      service.grow(arguments.grow_to);
      server.front_end().size_changed();
      say("grown");
    } else if (info.ssi_signo == SIGUSR2 && server.device) {
      Result<void> detached = co_await server.device->detach();
      say(detached ? "detached" : detached.error().message());
    } else {
      break;
    }
  }
  co_await server.front_end().shutdown();
  const auto& counts = service.counts;
  say(fmt::format("reads {} writes {} fua {} discards {} zeroes {} flushes {}", counts.reads,
                  counts.writes, counts.fua_writes, counts.discards, counts.zeroes,
                  counts.flushes));
  status = budget.is_idle() ? 0 : 1;
}

int run(int argc, char** argv) {
  Arguments arguments;
  uvdo::Arguments app("Serves memory by FUSE, for tests.", "fuse_memory_server");
  app.option("--folder", arguments.folder);
  app.option("--file", arguments.file);
  app.option("--memory", arguments.memory);
  app.option("--size", arguments.size);
  app.option("--grow-to", arguments.grow_to);
  app.option("--fail-at", arguments.fail_at);
  app.option("--block-size", arguments.block_size);
  app.option("--max-requests", arguments.max_requests);
  app.option("--keeper", arguments.keeper);
  app.option("--adopt", arguments.adopted);
  app.option("--adopt-minor", arguments.adopted_minor);
  app.flag("--block-device", arguments.block_device, "a loop device on the file");
  app.flag("--make-folder", arguments.makes_folder);
  app.flag("--read-only", arguments.read_only);
  app.flag("--null", arguments.null);
  app.flag("--allow-other", arguments.allow_other);
  app.flag("--remove-remains", arguments.removes, "of a killed server, and do nothing else");
  if (auto status = app.parse(argc, argv)) return *status;
  if (arguments.removes) {
    const auto removed = FuseBlockDevice::remove_remains(arguments.folder, arguments.file);
    if (!removed) complain(removed.error());
    return removed ? 0 : 1;
  }

  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
  auto loop = UringLoop::create();
  if (!loop) {
    complain(loop.error());
    return 1;
  }
  int status = 1;
  (*loop)->run(serve(**loop, arguments, signal_fd, status));
  return status;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::run(argc, argv); }
