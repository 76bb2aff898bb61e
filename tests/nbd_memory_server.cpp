// SPDX-License-Identifier: GPL-2.0-or-later
// Serves memory over NBD, for the conformance tests and the load generator: what the front end
// does and costs, without a volume behind it. Prints "ready" and its addresses; ends on SIGTERM.
#include <cstdio>
#include <string>

#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "arguments/arguments.h"
#include "block/testing/memory_block_service.h"
#include "nbd/nbd_server.h"
#include "net/service_manager.h"
#include "net/tls_context.h"

namespace uvdo {
namespace {

struct Arguments {
  std::vector<std::string> addresses;
  std::string name;
  std::string description;
  std::uint64_t size = 64 << 20;
  std::uint64_t fail_at = UINT64_MAX;
  bool read_only = false;
  bool null = false;
  bool two_exports = false;
  bool hold = false;
  int drain_ms = 10000;
  int stall_ms = 10000;
  std::uint32_t max_requests = RequestBudget::kUsual;
  TlsSettings tls;
};

Task<void> serve(UringLoop& loop, const Arguments& arguments, int signal_fd, int& status) {
  testing::MemoryBlockService::Options options;
  options.size = arguments.size;
  options.read_only = arguments.read_only;
  options.null = arguments.null;
  testing::MemoryBlockService service(loop, options);
  testing::MemoryBlockService second(loop, options);
  if (arguments.fail_at != UINT64_MAX) service.fail_at(arguments.fail_at, Errc::io);
  if (arguments.hold) service.hold();

  NbdServer::Settings settings;
  settings.drain_limit = std::chrono::milliseconds(arguments.drain_ms);
  settings.connection.stall_limit = std::chrono::milliseconds(arguments.stall_ms);
  settings.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  std::unique_ptr<TlsContext> tls;
  if (auto right = arguments.tls.check(); !right) {
    fmt::print(stderr, "{}\n", right.error().message());
    co_return;
  }
  if (arguments.tls.any()) {
    auto made = TlsContext::create(loop, arguments.tls);
    if (!made) {
      fmt::print(stderr, "{}\n", made.error().message());
      co_return;
    }
    tls = std::move(*made);
    settings.connection.tls = {tls.get(), arguments.tls.is_required()};
  }
  RequestBudget budget(loop, arguments.max_requests);
  NbdServer server(loop, budget, std::move(settings));
  server.add_export({arguments.name, arguments.description, &service});
  if (arguments.two_exports) server.add_export({"second", "", &second});
  for (const std::string& text : arguments.addresses) {
    auto address = SocketAddress::parse(text);
    Result<void> listening;
    if (!address) {
      listening = std::move(address).error();
    } else {
      listening = server.listen(*address);
    }
    if (!listening) {
      fmt::print(stderr, "{}\n", listening.error().message());
      co_return;
    }
  }
  auto inherited = ServiceManager::take_sockets();
  if (!inherited) {
    fmt::print(stderr, "{}\n", inherited.error().message());
    co_return;
  }
  server.adopt(std::move(*inherited));
  if (auto started = co_await server.start(); !started) {
    fmt::print(stderr, "{}\n", started.error().message());
    co_return;
  }
  const ServiceManager manager;
  manager.notify_ready("serving memory");
  fmt::print("ready");
  for (const FrontEndAddress& address : server.addresses()) fmt::print(" {}", address.name);
  fmt::print("\n");
  std::fflush(stdout);
  signalfd_siginfo info{};
  [[maybe_unused]] const int signalled = co_await loop.perform(
      [&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, signal_fd, &info, sizeof info, 0); });
  manager.notify_stopping();
  // What was held back is let go a little later, in the middle of the shutdown.
  if (arguments.hold) {
    spawn([](UringLoop& owner, testing::MemoryBlockService& held) -> Task<void> {
      Alarm alarm(owner);
      co_await alarm.sleep(std::chrono::milliseconds(300));
      held.let_go();
    }(loop, service));
  }
  co_await server.shutdown();
  const auto& counts = service.counts;
  fmt::print("reads {} writes {} fua {} discards {} zeroes {} flushes {}\n", counts.reads,
             counts.writes, counts.fua_writes, counts.discards, counts.zeroes, counts.flushes);
  status = 0;
}

int run(int argc, char** argv) {
  Arguments arguments;
  uvdo::Arguments app("Serves memory over NBD, for tests.", "nbd_memory_server");
  app.option("--listen", arguments.addresses);
  app.option("--name", arguments.name);
  app.option("--description", arguments.description);
  app.option("--size", arguments.size);
  app.option("--fail-at", arguments.fail_at);
  app.flag("--read-only", arguments.read_only);
  app.flag("--null", arguments.null);
  app.flag("--two-exports", arguments.two_exports);
  app.flag("--hold", arguments.hold, "no request ends before the shutdown");
  app.option("--drain-ms", arguments.drain_ms);
  app.option("--stall-ms", arguments.stall_ms);
  app.option("--max-requests", arguments.max_requests);
  app.option("--tls-cert", arguments.tls.certificate);
  app.option("--tls-key", arguments.tls.key);
  app.option("--tls-ca", arguments.tls.authority);
  app.option("--tls-psk", arguments.tls.psk);
  app.option("--tls-crl", arguments.tls.revoked);
  app.option("--tls-allow", arguments.tls.allowed);
  app.flag("--tls-required", arguments.tls.required);
  app.flag("--tls-optional", arguments.tls.optional);
  if (auto status = app.parse(argc, argv)) return *status;

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
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
