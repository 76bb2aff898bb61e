// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/kernel_nbd_device.h"

#include <cerrno>
#include <future>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "async/blocking_call.h"
#include "base/detached_thread.h"
#include "net/socket_stream.h"

namespace uvdo {
namespace {

constexpr Duration kDrainInterval = std::chrono::milliseconds(5);
// Between attempts to take over a device whose driver has not noticed yet that its server is gone.
constexpr Duration kTakeOverInterval = std::chrono::milliseconds(50);
// Between attempts to give a device in use another socket.
constexpr Duration kRejoinInterval = std::chrono::seconds(1);
// In which requests that are not stuck are answered, some of them.
constexpr Duration kStuckInterval = std::chrono::milliseconds(50);
constexpr std::chrono::seconds kSettleLimit{5};
// Lets a whole batch of requests and of replies be under way; the kernel cuts it to its limit.
constexpr int kSocketBuffer = 1 << 20;
// Requests of any alignment are served; what the kernel sends has that of the device.
constexpr std::uint32_t kSmallestBlock = 512;

}  // namespace

/// The two ends of a connection; the kernel takes a reference of its own to the client's.
struct KernelNbdDevice::Ends {
  FileDescriptor stream;  ///< of the server's end, for the one who serves
  FileDescriptor server;  ///< the same, to look at
  FileDescriptor client;

  static Result<std::unique_ptr<Ends>> make() {
    int fds[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
      return errno_error(errno, "making a pair of sockets for the kernel's NBD client");
    }
    auto ends = std::make_unique<Ends>();
    ends->stream = FileDescriptor(fds[0]);
    ends->client = FileDescriptor(fds[1]);
    ends->server = FileDescriptor(fcntl(fds[0], F_DUPFD_CLOEXEC, 0));
    if (!ends->server) return errno_error(errno, "making a descriptor for the NBD client");
    for (const int fd : fds) {
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
    }
    return ends;
  }
  /// Lets go of the client's end: whether somebody else holds it.
  [[nodiscard]] bool is_taken() {
    client = FileDescriptor();
    pollfd state{server.get(), POLLRDHUP, 0};
    return poll(&state, 1, 0) == 0;
  }
};

struct KernelNbdDevice::Link {
  Link(KernelNbdDevice& device, int fd)
      : stream(device.loop_, fd),
        connection(device.loop_, stream,
                   NbdSession{.target = &device.export_, .minimum_block = kSmallestBlock},
                   device.memory_, device.connection_settings_) {}
  SocketStream stream;
  NbdConnection connection;
};

KernelNbdDevice::KernelNbdDevice(UringLoop& loop, BlockService& service, RequestBudget& budget,
                                 Settings settings)
    : loop_(loop),
      service_(service),
      settings_(std::move(settings)),
      export_{.name = {}, .description = {}, .service = &service},
      memory_(loop, settings_.read_memory, budget),
      serving_(loop),
      tasks_(loop),
      alarm_(loop),
      resize_alarm_(loop) {
  connection_settings_.times = settings_.times;
  if (settings_.first_flush_fails) {
    connection_settings_.first_flush_fails_until = TimePoint::max();
  }
}

KernelNbdDevice::~KernelNbdDevice() {
  check(serving_.running() == 0 && tasks_.running() == 0, "the NBD device was shut down");
}

std::uint64_t KernelNbdDevice::memory_bound(const Settings& settings, std::uint32_t requests) {
  return std::max(settings.read_memory, NbdServerMemory::kLeastForReads) +
         requests * (sizeof(NbdRequest) + sizeof(NbdPiece)) +
         NbdConnectionSettings().receive_buffer;
}

std::vector<FrontEndAddress> KernelNbdDevice::addresses() const {
  if (!index_) return {};
  return {{path(), false}};
}

std::uint16_t KernelNbdDevice::flags() const {
  // Before Linux 6.12 the driver knows no writing of zeroes, and leaves that flag alone.
  unsigned flags = nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua;
  flags |= service_.is_read_only() ? nbd::kReadOnly : nbd::kSendTrim | nbd::kSendWriteZeroes;
  return static_cast<std::uint16_t>(flags);
}

namespace {

/// From here on this thread has no descriptors but the standard ones and `kept` (-1: none).
void give_up_descriptors(int kept) {
  // Where that is not allowed all goes well as long as nobody kills us.
  if (unshare(CLONE_FILES) != 0) return;
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  const unsigned from = kept < 0 ? kFirst : static_cast<unsigned>(kept) + 1;
  if (from > kFirst + 1) close_range(kFirst, from - 2, 0);
  close_range(from, ~0U, 0);
}

/// Runs `function` in another thread that has no descriptors but `kept`, and waits for it. The
/// driver may wait, for ever and for no signal, for what this process alone can answer: if the
/// process is killed meanwhile, its sockets and the volume close without that thread.
template <class Function>
std::invoke_result_t<Function> run_apart(int kept, Function& function) {
  using Outcome = std::invoke_result_t<Function>;
  const auto outcome = std::make_shared<std::promise<Outcome>>();
  auto started = start_detached_thread("uvdo-nbd", [kept, &function, outcome] {
    give_up_descriptors(kept);
    Outcome done = function();
    give_up_descriptors(-1);
    outcome->set_value(std::move(done));
  });
  if (!started) return std::move(started).error();
  return outcome->get_future().get();
}

}  // namespace

/// Gives the driver a command in a thread, while the loop serves what it may have to wait for. The
/// thread keeps `kept` until it has been carried out.
template <class Command>
Task<std::invoke_result_t<Command, KernelNbdClient&>> KernelNbdDevice::call(int kept,
                                                                            Command command) {
  using Outcome = std::invoke_result_t<Command, KernelNbdClient&>;
  const auto carry_out = [this, &command]() -> Outcome {
    auto client = settings_.kernel.open();
    if (!client) return std::move(client).error();
    return command(*client);
  };
  const auto in_thread = [this, kept, &carry_out] {
    return settings_.kernel.shares_descriptors ? carry_out() : run_apart(kept, carry_out);
  };
  Outcome outcome = co_await call_blocking(loop_, Descriptors::shared, in_thread);
  co_return outcome;
}

Result<void> KernelNbdDevice::check_settings() const {
  if (settings_.identifier.empty() || settings_.identifier.find('\n') != std::string::npos) {
    return Error(Errc::invalid_argument, "an NBD device is known by a line that is not empty");
  }
  if (settings_.block_size != 512 && settings_.block_size != 4096) {
    return Error(Errc::invalid_argument,
                 fmt::format("an NBD device has blocks of 512 or of 4096 bytes, not of {}",
                             settings_.block_size));
  }
  const std::uint64_t size = service_.size();
  if (size == 0 || size % settings_.block_size != 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} bytes are no whole blocks of {} bytes: offer a part that is, or "
                             "use smaller blocks",
                             size, settings_.block_size));
  }
  return {};
}

Task<Result<void>> KernelNbdDevice::start() {
  check(state_ == State::off, "an NBD device is started once at a time");
  if (auto right = check_settings(); !right) co_return std::move(right).error();
  state_ = State::starting;
  auto found = co_await find();
  Result<void> started;
  if (!found) {
    started = std::move(found).error();
  } else if (*found) {
    Result<void> taken = co_await take_over(**found);
    started = std::move(taken);
  } else {
    Result<void> made = co_await make();
    started = std::move(made);
  }
  if (!started) {
    if (link_ != nullptr) link_->connection.close();
    co_await serving_.wait();
    index_.reset();
    state_ = State::off;
    co_return started;
  }
  co_await settle();
  state_ = State::on;
  if (link_ == nullptr) {
    tasks_.start(rejoin());
  } else if (has_taken_over_) {
    size_changed();
  }
  co_return Result<void>();
}

Task<Result<std::optional<std::uint32_t>>> KernelNbdDevice::find() {
  using Found = std::optional<std::uint32_t>;
  const auto look = [this](KernelNbdClient&) {
    return Result<Found>(settings_.kernel.folder.find(settings_.identifier));
  };
  Result<Found> found = co_await call(-1, look);
  co_return found;
}

Task<Result<void>> KernelNbdDevice::make() {
  auto ends = Ends::make();
  if (!ends) co_return std::move(ends).error();
  KernelNbdSetup setup;
  setup.index = settings_.index;
  setup.size = service_.size();
  setup.block = settings_.block_size;
  setup.flags = flags();
  setup.dead_limit = settings_.dead_limit;
  setup.identifier = settings_.identifier;
  serving_.start(serve((*ends)->stream.release()));
  setup.socket = (*ends)->client.get();
  const auto connect = [&setup](KernelNbdClient& client) { return client.connect(setup); };
  auto made = co_await call(setup.socket, connect);
  (*ends)->client = FileDescriptor();
  if (!made) co_return std::move(made).error();
  index_ = *made;
  has_taken_over_ = false;
  joined_ = TimePoint();
  co_return Result<void>();
}

Task<Result<void>> KernelNbdDevice::take_over(std::uint32_t index) {
  const KernelNbdFolder& folder = settings_.kernel.folder;
  if (settings_.index && *settings_.index != index) {
    co_return Error(Errc::busy,
                    fmt::format("it is attached as {} already: detach that first, or name it",
                                folder.path(index)));
  }
  if (folder.size_of(index) > service_.size()) {
    co_return Error(Errc::invalid_argument,
                    fmt::format("{} was made of something larger, {} bytes: detach it first",
                                folder.path(index), folder.size_of(index)));
  }
  index_ = index;
  const TimePoint deadline = loop_.now() + settings_.take_over_limit;
  for (;;) {
    auto joined = co_await join();
    if (!joined) co_return std::move(joined).error();
    if (*joined) break;
    if (loop_.now() >= deadline) {
      co_return Error(Errc::busy, fmt::format("{} is served by another process already", path()));
    }
    co_await alarm_.sleep(kTakeOverInterval);
  }
  has_taken_over_ = true;
  co_return Result<void>();
}

/// What makes the device better but not impossible if it fails.
Task<void> KernelNbdDevice::settle() {
  const auto finish = [this](KernelNbdClient&) {
    const KernelNbdFolder& folder = settings_.kernel.folder;
    auto set = folder.set_resend_interval(*index_, settings_.resend_interval);
    auto there = folder.settle(*index_, kSettleLimit);
    return set ? std::move(there) : std::move(set);
  };
  auto settled = co_await call(-1, finish);
  if (!settled) log(settled.error().message());
}

Task<void> KernelNbdDevice::serve(int fd) {
  Link link(*this, fd);
  link_ = &link;
  co_await link.connection.run();
  link_ = nullptr;
  // Who was told once is not told again by the next connection.
  if (!link.connection.owes_error()) connection_settings_.first_flush_fails_until = {};
  note_end(link.connection);
}

void KernelNbdDevice::note_end(const NbdConnection& connection) {
  if (state_ != State::on || is_joining_) return;
  if (connection.has_said_goodbye()) {
    lose("was disconnected by somebody else");
    return;
  }
  log_now_and_then(fmt::format("lost the connection of {}{}{}; making another", path(),
                               connection.reason().empty() ? "" : ": ", connection.reason()));
  tasks_.start(rejoin());
}

void KernelNbdDevice::lose(const std::string& why) {
  state_ = State::lost;
  log(fmt::format("{} {}", path(), why));
  if (settings_.on_disconnected) settings_.on_disconnected();
}

Task<Result<bool>> KernelNbdDevice::join() {
  auto ends = Ends::make();
  if (!ends) co_return std::move(ends).error();
  is_joining_ = true;
  serving_.start(serve((*ends)->stream.release()));
  const int socket = (*ends)->client.get();
  const auto reconnect = [this, socket](KernelNbdClient& client) {
    return client.reconnect(*index_, settings_.identifier, socket);
  };
  auto reconnected = co_await call(socket, reconnect);
  const bool is_taken = (*ends)->is_taken();
  joined_ = loop_.now();
  if (!reconnected && link_ != nullptr) link_->connection.close();
  if (!reconnected || !is_taken) co_await serving_.wait();
  is_joining_ = false;
  if (!reconnected) co_return std::move(reconnected).error();
  co_return is_taken;
}

Task<void> KernelNbdDevice::rejoin() {
  Duration pause = kTakeOverInterval;
  while (state_ == State::on && link_ == nullptr) {
    co_await alarm_.sleep(pause);
    if (state_ != State::on) co_return;
    auto joined = co_await join();
    if (joined) continue;
    if (joined.error().code() == Errc::invalid_argument && state_ == State::on) {
      lose(fmt::format("is gone: {}", joined.error().message()));
      co_return;
    }
    log_now_and_then(joined.error().message());
    pause = kRejoinInterval;
  }
  size_changed();
}

void KernelNbdDevice::size_changed() {
  if (state_ != State::on) return;
  wants_resize_ = true;
  if (!is_resizing_) tasks_.start(resize());
}

/// While the driver changes a size it lets no request in, waits for those that are under way, and
/// keeps its lock: if this process is killed meanwhile, the next server cannot get at the device.
/// So it is not asked for that where the wait may be long: while requests of a predecessor may
/// still be on their way here, nor while none is answered.
Task<void> KernelNbdDevice::wait_until_nothing_is_stuck() {
  if (joined_ != TimePoint()) {
    const Duration left = joined_ + 2 * settings_.resend_interval - loop_.now();
    if (left > Duration(0)) co_await resize_alarm_.sleep(left);
  }
  std::uint64_t moved = link_ != nullptr ? link_->stream.bytes_moved() : 0;
  while (state_ == State::on && link_ != nullptr && !link_->connection.is_idle()) {
    co_await resize_alarm_.sleep(kStuckInterval);
    if (link_ == nullptr) co_return;
    if (link_->stream.bytes_moved() != moved) co_return;
    moved = link_->stream.bytes_moved();
  }
}

Task<void> KernelNbdDevice::resize() {
  is_resizing_ = true;
  while (wants_resize_ && state_ == State::on) {
    wants_resize_ = false;
    co_await wait_until_nothing_is_stuck();
    if (state_ != State::on || link_ == nullptr) break;  // who connects again comes here again
    const std::uint64_t size = service_.size();
    const auto resize = [this, size](KernelNbdClient& client) -> Result<void> {
      if (settings_.kernel.folder.size_of(*index_) == size) return {};
      return client.resize(*index_, settings_.identifier, size);
    };
    auto resized = co_await call(-1, resize);
    if (!resized) log(resized.error().message());
  }
  is_resizing_ = false;
}

Task<void> KernelNbdDevice::drain() {
  const TimePoint deadline = loop_.now() + settings_.drain_limit;
  while (link_ != nullptr && !link_->connection.is_idle() && loop_.now() < deadline) {
    co_await alarm_.sleep(kDrainInterval);
  }
}

Task<void> KernelNbdDevice::shutdown() {
  if (state_ == State::off) co_return;
  const bool is_there = state_ != State::lost;
  state_ = State::ending;
  alarm_.ring();
  resize_alarm_.ring();
  if (link_ != nullptr) link_->connection.begin_shutdown();
  // A change of the size ends when what is under way has been answered.
  co_await tasks_.wait();
  co_await drain();
  // The driver cannot say goodbye while it waits to send what nobody takes.
  if (link_ != nullptr && !link_->connection.is_idle()) link_->connection.close();
  if (is_there) {
    const auto end = [this](KernelNbdClient& client) -> Result<void> {
      // For whoever uses the device next.
      auto reset = client.reset_request_limit(*index_, settings_.identifier);
      auto disconnected = client.disconnect(*index_);
      return disconnected ? std::move(reset) : std::move(disconnected);
    };
    auto ended = co_await call(-1, end);
    if (!ended) log(ended.error().message());
  }
  if (link_ != nullptr) link_->connection.close();
  co_await serving_.wait();
  index_.reset();
  state_ = State::off;
}

Task<Result<void>> KernelNbdDevice::leave() {
  if (state_ == State::off) co_return Result<void>();
  state_ = State::ending;
  alarm_.ring();
  resize_alarm_.ring();
  co_await tasks_.wait();
  co_await drain();
  if (link_ != nullptr) link_->connection.close();
  co_await serving_.wait();
  index_.reset();
  state_ = State::off;
  co_return Result<void>();
}

}  // namespace uvdo
