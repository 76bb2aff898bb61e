// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/nbd_client.h"

#include <algorithm>
#include <cerrno>

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace uvdo {
namespace {

/// What a server takes that tells of no limit, by the protocol.
constexpr std::uint64_t kUsualLongestData = std::uint64_t{32} << 20;

int on_answer(void* data, int* error) {
  auto& command = *static_cast<NbdCommand*>(data);
  command.error = *error;
  return 1;
}

bool is_true(int answer) { return answer > 0; }

/// A host that is gone answers nothing, and a connection would not end by that: the kernel asks it
/// for signs of life. A host that answers may take its time: what a connection has asked for that
/// we give up may still be carried out. So the limit, which counts for a full window of a living
/// server too (and before kQuestions), is far beyond what a slow one takes.
void notice_dead_hosts(int fd) {
  constexpr int kIdleSeconds = 10;
  constexpr int kBetweenSeconds = 5;
  constexpr int kQuestions = 4;
  constexpr int kLongestSilenceMilliseconds = 180'000;
  const auto set = [fd](int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
  };
  // Sockets of this machine have no such options, and need none.
  if (!set(SOL_SOCKET, SO_KEEPALIVE, 1) || !set(IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds)) return;
  set(IPPROTO_TCP, TCP_KEEPINTVL, kBetweenSeconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, kQuestions);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kLongestSilenceMilliseconds);
}

/// libnbd's words without the name of its function before them.
std::string without_function(std::string text) {
  if (!text.starts_with("nbd_")) return text;
  const std::size_t colon = text.find(": ");
  return colon == std::string::npos ? text : text.substr(colon + 2);
}

}  // namespace

std::unique_ptr<NbdClient> NbdClient::begin(const std::string& uri) {
  std::unique_ptr<NbdClient> made(new NbdClient());
  made->handle_.reset(nbd_create());
  nbd_handle* const handle = made->handle_.get();
  // Files with keys are named by the URI, which is the user's own.
  if (handle == nullptr || nbd_set_uri_allow_local_file(handle, true) != 0 ||
      nbd_aio_connect_uri(handle, uri.c_str()) != 0) {
    made->note_trouble();
    if (made->handle_ && nbd_aio_is_created(made->handle_.get()) > 0) made->handle_.reset();
  }
  if (made->handle_) notice_dead_hosts(made->fd());
  return made;
}

NbdClient::~NbdClient() {
  if (phase() == Phase::ready && under_way_.empty()) nbd_aio_disconnect(handle_.get(), 0);
}

Result<std::unique_ptr<NbdClient>> NbdClient::connect(const std::string& uri,
                                                      std::chrono::milliseconds patience) {
  auto made = begin(uri);
  const auto end = std::chrono::steady_clock::now() + patience;
  while (made->phase() == Phase::connecting) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return Error(Errc::io, fmt::format("cannot connect to {}: the server has not answered within "
                                         "{} seconds",
                                         uri, patience.count() / 1000));
    }
    wait_for({made.get()}, left);
  }
  if (made->phase() == Phase::broken) return made->error(uri);
  return made;
}

Error NbdClient::error(const std::string& uri) const {
  const auto says = [this](std::string_view words) {
    return trouble_.find(words) != std::string::npos;
  };
  if (trouble_errno_ == ECONNREFUSED || (says("connect: ") && trouble_errno_ == ENOENT)) {
    return {Errc::io, fmt::format("cannot connect to {}: no NBD server listens there", uri)};
  }
  if (says("has no export named")) {
    return {Errc::io, fmt::format("cannot connect to {}: the server has no such export", uri)};
  }
  if (says("refused TLS")) {
    return {Errc::io, fmt::format("cannot connect to {}: the server does not speak TLS", uri)};
  }
  if (says("parse URI")) {
    return {Errc::invalid_argument,
            fmt::format("{} is no URI of an NBD export, such as nbd://HOST/EXPORT", uri)};
  }
  return {Errc::io, fmt::format("cannot connect to {}: {}", uri, trouble_)};
}

void NbdClient::note_trouble() {
  const char* const text = nbd_get_error();
  if (!trouble_.empty()) return;
  trouble_errno_ = nbd_get_errno();
  trouble_ = text != nullptr ? without_function(text) : "the connection has broken";
}

NbdClient::Phase NbdClient::phase() const {
  nbd_handle* const handle = handle_.get();
  if (handle == nullptr || is_true(nbd_aio_is_dead(handle)) || is_true(nbd_aio_is_closed(handle))) {
    return Phase::broken;
  }
  if (server_is_going_) return Phase::leaving;
  return is_true(nbd_aio_is_connecting(handle)) || is_true(nbd_aio_is_created(handle))
             ? Phase::connecting
             : Phase::ready;
}

NbdExportOffer NbdClient::look() const {
  nbd_handle* const handle = handle_.get();
  NbdExportOffer found;
  const std::int64_t size = nbd_get_size(handle);
  if (size > 0) found.size = static_cast<std::uint64_t>(size);
  found.is_read_only = is_true(nbd_is_read_only(handle));
  found.can_flush = is_true(nbd_can_flush(handle));
  found.can_fua = is_true(nbd_can_fua(handle));
  found.can_trim = is_true(nbd_can_trim(handle));
  found.can_zero = is_true(nbd_can_zero(handle));
  found.can_multi_conn = is_true(nbd_can_multi_conn(handle));
  const std::int64_t least = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
  if (least > 0) found.least_block = static_cast<std::uint64_t>(least);
  const std::int64_t most = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
  found.longest_data =
      most > 0 ? std::min(static_cast<std::uint64_t>(most), kUsualLongestData) : kUsualLongestData;
  return found;
}

int NbdClient::fd() const { return nbd_aio_get_fd(handle_.get()); }

short NbdClient::events() const {
  const unsigned direction = nbd_aio_get_direction(handle_.get());
  unsigned events = 0;
  if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) events |= POLLIN;
  if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) events |= POLLOUT;
  return static_cast<short>(events);
}

void NbdClient::go_on(short events) {
  nbd_handle* const handle = handle_.get();
  if (handle == nullptr) return;
  const bool was_connecting = phase() == Phase::connecting;
  // A connection that has ended tells so by its reads.
  const bool is_readable = (events & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0;
  const bool is_writable = (events & (POLLOUT | POLLERR)) != 0;
  const unsigned direction = nbd_aio_get_direction(handle);
  if (is_readable && (direction & LIBNBD_AIO_DIRECTION_READ) != 0) {
    if (nbd_aio_notify_read(handle) != 0) note_trouble();
  } else if (is_writable && (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 &&
             nbd_aio_notify_write(handle) != 0) {
    note_trouble();
  }
  // It may have another socket than at the beginning: a name may have several addresses.
  if (was_connecting && phase() == Phase::ready) notice_dead_hosts(fd());
}

bool NbdClient::send(NbdCommand& command) {
  nbd_handle* const handle = handle_.get();
  command.error = -1;
  command.connection = this;
  const nbd_completion_callback answer{on_answer, &command, nullptr};
  const std::uint32_t flags =
      command.durability == Durability::fua ? std::uint32_t{LIBNBD_CMD_FLAG_FUA} : 0;
  std::int64_t cookie = -1;
  under_way_.push_back(&command);
  switch (command.op) {
    case Device::Op::read:
      cookie = nbd_aio_pread(handle, command.data, command.length, command.offset, answer, 0);
      break;
    case Device::Op::write:
      cookie = nbd_aio_pwrite(handle, command.data, command.length, command.offset, answer, flags);
      break;
    case Device::Op::flush: cookie = nbd_aio_flush(handle, answer, 0); break;
    case Device::Op::discard:
      cookie = nbd_aio_trim(handle, command.length, command.offset, answer, 0);
      break;
    case Device::Op::write_zeroes:
      cookie = nbd_aio_zero(handle, command.length, command.offset, answer, 0);
      break;
  }
  if (cookie >= 0) return true;
  const int error = nbd_get_errno();
  if (phase() == Phase::broken) {
    note_trouble();
    return true;  // with all others that nobody answers
  }
  std::erase(under_way_, &command);
  command.error = error != 0 ? error : EIO;
  return false;
}

std::vector<NbdCommand*> NbdClient::take_answered() {
  std::vector<NbdCommand*> answered;
  server_is_going_ =
      server_is_going_ || std::ranges::any_of(under_way_, [](const NbdCommand* command) {
        return command->error == ESHUTDOWN;
      });
  // Nobody knows what becomes of errors that a broken connection has given to what was under way.
  const bool is_broken = phase() == Phase::broken;
  std::erase_if(under_way_, [&](NbdCommand* command) {
    const bool is_answered =
        command->error == 0 || (command->error > 0 && command->error != ESHUTDOWN && !is_broken);
    if (is_answered) answered.push_back(command);
    return is_answered;
  });
  return answered;
}

bool NbdClient::is_waited_for() const {
  return phase() != Phase::broken && std::ranges::any_of(under_way_, [](const NbdCommand* command) {
           return command->error < 0;
         });
}

std::vector<NbdCommand*> NbdClient::take_unanswered() { return std::exchange(under_way_, {}); }

void wait_for(const std::vector<NbdClient*>& connections, std::chrono::milliseconds patience) {
  std::vector<pollfd> waits;
  std::vector<NbdClient*> waited;
  for (NbdClient* each : connections) {
    if (each->phase() == NbdClient::Phase::broken) continue;
    waits.push_back({each->fd(), each->events(), 0});
    waited.push_back(each);
  }
  const int limit =
      static_cast<int>(std::clamp<std::int64_t>(patience.count(), 0, std::int64_t{60'000}));
  if (poll(waits.data(), waits.size(), limit) <= 0) return;
  for (std::size_t i = 0; i < waits.size(); ++i) {
    if (waits[i].revents != 0) waited[i]->go_on(waits[i].revents);
  }
}

}  // namespace uvdo
