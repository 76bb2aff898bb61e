// SPDX-License-Identifier: GPL-2.0-or-later
// The reading side of a session, what is answered at once, and how answers go out. What needs the
// volume: fuse_request.cpp.
#include "fuse/fuse_session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include "block/client_errno.h"
#include "block/request_pieces.h"

namespace uvdo {
namespace {

// The one name never changes; the kernel may remember it.
constexpr std::uint64_t kNameValid = UINT32_MAX;
// Work for a request, in units of Executor::spend().
constexpr std::uint64_t kUnitsPerRequest = 50;
// Where a message is received, so that the data of a write begin a page.
constexpr std::size_t kMessageAt = fuse::kPageSize - fuse::kWriteHead;

std::uint64_t handle_of(std::uint32_t flags) {
  return (flags & O_DSYNC) != 0 ? fuse::kSyncHandle : 0;
}

}  // namespace

FuseSession::FuseSession(UringLoop& loop, BlockService& service, RequestBudget& budget,
                         Settings settings)
    : loop_(loop),
      service_(service),
      settings_(std::move(settings)),
      folder_(settings_.name, settings_.owner, settings_.mode, loop.wall_clock_us()),
      reads_(loop, std::max(settings_.read_memory, kLeastForReads)),
      gathering_(loop, 1),
      budget_(budget),
      requests_(budget),
      long_requests_(loop, kLongRequests),
      memory_(fuse::kPageSize + fuse::kMostData),
      reader_(loop),
      changed_(loop) {
  check(check_file_name(settings_.name) == 0, "the file of a mount has a usable name");
}

FuseSession::~FuseSession() { check(reader_.running() == 0, "a FUSE session was finished"); }

Result<void> FuseSession::begin(FileDescriptor descriptor,
                                const std::optional<FuseHandover>& handover) {
  check(state_ == State::idle, "a FUSE session begins once");
  descriptor_ = std::move(descriptor);
  state_ = handover ? State::open : State::greeting;
  if (handover) {
    agreement_ = handover->agreement;
    open_files_ = handover->open_files;
    agreement_.can_resend = true;  // or else:
    is_flush_to_fail_ = settings_.first_flush_fails;
    if (auto asked = notify(fuse::kNotifyResend, {}); !asked) {
      state_ = State::idle;
      return Error(Errc::unsupported,
                   "requests that another process has left unanswered cannot be asked for again, "
                   "which takes Linux 6.9; unmount, and mount anew");
    }
  }
  reader_.start(receive());
  return {};
}

Task<bool> FuseSession::wait_until_greeted() {
  while (state_ == State::greeting) co_await changed_.wait();
  co_return state_ == State::open;
}

Task<void> FuseSession::wait_until_gone() {
  while (is_serving()) co_await changed_.wait();
}

Task<FileDescriptor> FuseSession::finish() {
  if (state_ != State::gone) state_ = State::finished;
  changed_.wake_all();
  if (is_polling_) loop_.cancel(poll_);
  co_await reader_.wait();
  while (requests_.in_flight() != 0) co_await requests_.one_ended();
  co_return std::move(descriptor_);
}

void FuseSession::size_changed() {
  if (state_ != State::open) return;
  fuse_notify_inval_inode_out out{};
  out.ino = fuse::kFileNode;
  out.off = -1;  // attributes alone
  // Who has not looked at the file yet has nothing to forget.
  static_cast<void>(
      notify(FUSE_NOTIFY_INVAL_INODE, std::as_bytes(std::span<const decltype(out)>(&out, 1))));
}

// ---- receiving

/// co_await readable(): until there is a request or the mount has gone; can be cancelled.
auto FuseSession::readable() {
  struct Awaiter {
    FuseSession& session;
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      session.is_polling_ = true;
      session.poll_.waiter = handle;
      session.loop_.submit(session.poll_, [this](io_uring_sqe* sqe) {
        io_uring_prep_poll_add(sqe, session.descriptor_.get(), POLLIN);
      });
    }
    void await_resume() const noexcept { session.is_polling_ = false; }
  };
  return Awaiter{*this};
}

Task<void> FuseSession::receive() {
  while (is_serving()) {
    switch (take_message()) {
      case Received::nothing: co_await readable(); continue;
      case Received::again: break;
      case Received::end: co_return;
      case Received::request: {
        const auto request = fuse::decode_request({memory_.data() + kMessageAt, message_size_});
        if (!request) {
          lose("the kernel has sent something that is no FUSE request");
          co_return;
        }
        if (!answer_at_once(*request) && !begin_at_once(*request)) co_await begin_request(*request);
        break;
      }
    }
    loop_.spend(kUnitsPerRequest);
    co_await loop_.give_way();
  }
}

FuseSession::Received FuseSession::take_message() {
  const ssize_t got =
      ::read(descriptor_.get(), memory_.data() + kMessageAt, memory_.size() - kMessageAt);
  if (got > 0) {
    message_size_ = static_cast<std::size_t>(got);
    return Received::request;
  }
  switch (got == 0 ? ENODEV : errno) {
    case EAGAIN: return Received::nothing;
    case EINTR:
    case ENOENT: return Received::again;  // who asked has given up
    case ENODEV:
      state_ = State::gone;
      changed_.wake_all();
      return Received::end;
    default:
      lose(errno_error(errno, "reading requests of the kernel").message());
      return Received::end;
  }
}

/// Ends the mount for the kernel too: who waits gets an error instead of waiting for ever.
void FuseSession::lose(const std::string& why) {
  log(fmt::format("the FUSE mount is served no longer: {}", why));
  descriptor_ = FileDescriptor();
  state_ = State::gone;
  changed_.wake_all();
}

bool FuseSession::answer_at_once(const fuse::Request& request) {
  const std::uint64_t unique = request.header.unique;
  if (state_ == State::greeting) {
    if (request.opcode() == FUSE_INIT) {
      answer_greeting(request);
    } else {
      answer(unique, EIO);
    }
    return true;
  }
  switch (request.opcode()) {
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_FSYNC:
    case FUSE_FALLOCATE:
    case FUSE_LSEEK: return false;
    case FUSE_LOOKUP: answer_lookup(request); return true;
    case FUSE_GETATTR: answer_attributes(request); return true;
    case FUSE_SETATTR: answer_change_of_attributes(request); return true;
    case FUSE_OPEN:
    case FUSE_OPENDIR: answer_open(request); return true;
    case FUSE_READDIR: answer_entries(request); return true;
    case FUSE_STATFS: answer_statistics(request); return true;
    case FUSE_RELEASE:
      open_files_ -= std::min<std::uint64_t>(open_files_, 1);
      answer(unique, 0);
      return true;
    case FUSE_RELEASEDIR:
    case FUSE_DESTROY: answer(unique, 0); return true;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_NOTIFY_REPLY: return true;  // nobody waits for an answer, and nothing is remembered
    default: break;
  }
  // To ENOSYS the kernel does without for good. So it does for FLUSH, which every close() would
  // wait for: nothing is kept back until then. And for INTERRUPT: what the volume has begun, it
  // finishes.
  answer(unique, fuse::changes_folder(request.opcode()) ? EPERM : ENOSYS);
  return true;
}

void FuseSession::answer_greeting(const fuse::Request& request) {
  // Before version 7.36 the structure was shorter.
  std::array<std::byte, sizeof(fuse_init_in)> bytes{};
  const std::size_t length = std::min(request.body.size(), bytes.size());
  std::memcpy(bytes.data(), request.body.data(), length);
  fuse_init_in offer{};
  std::memcpy(&offer, bytes.data(), sizeof offer);
  if (length < offsetof(fuse_init_in, flags2)) {
    answer(request.header.unique, EPROTO);
    lose("the kernel's greeting is cut short");
    return;
  }
  if (offer.major > FUSE_KERNEL_VERSION) {
    // It is told which version we speak, and greets again.
    fuse_init_out ours{};
    ours.major = FUSE_KERNEL_VERSION;
    ours.minor = fuse::kOurMinor;
    answer_with(request.header.unique, ours);
    return;
  }
  if (offer.major < FUSE_KERNEL_VERSION || offer.minor < fuse::kLeastMinor) {
    answer(request.header.unique, EPROTO);
    lose(fmt::format("the kernel speaks version {}.{} of FUSE; {}.{} (Linux 5.10) is the least",
                     offer.major, offer.minor, FUSE_KERNEL_VERSION, fuse::kLeastMinor));
    return;
  }
  const fuse::Greeting greeting = fuse::greet(offer, budget_.most_of_a_client());
  agreement_ = greeting.agreement;
  state_ = State::open;
  changed_.wake_all();
  answer_with(request.header.unique, greeting.answer);
}

void FuseSession::answer_lookup(const fuse::Request& request) {
  const auto name = request.name();
  if (!name) return answer(request.header.unique, EINVAL);
  const auto node = request.header.nodeid == fuse::kRootNode ? folder_.find(*name) : std::nullopt;
  if (!node) return answer(request.header.unique, ENOENT);
  fuse_entry_out out{};
  out.nodeid = *node;
  out.entry_valid = kNameValid;
  out.attr_valid = FuseFolder::kAttributesValid;
  out.attr = *folder_.attributes(*node, service_.size(), loop_.wall_clock_us());
  answer_with(request.header.unique, out);
}

void FuseSession::answer_attributes(const fuse::Request& request) {
  const auto attributes =
      folder_.attributes(request.header.nodeid, service_.size(), loop_.wall_clock_us());
  if (!attributes) return answer(request.header.unique, ENOENT);
  fuse_attr_out out{};
  out.attr_valid = FuseFolder::kAttributesValid;
  out.attr = *attributes;
  answer_with(request.header.unique, out);
}

void FuseSession::answer_change_of_attributes(const fuse::Request& request) {
  const auto change = request.head<fuse_setattr_in>();
  if (!change) return answer(request.header.unique, EINVAL);
  constexpr std::uint32_t kTimes =
      FATTR_ATIME | FATTR_MTIME | FATTR_CTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
  constexpr std::uint32_t kAside = FATTR_FH | FATTR_LOCKOWNER | FATTR_KILL_SUIDGID;
  // A volume is grown by its own command, and who may use it is said when it is mounted. To cut it
  // off (O_TRUNC) would be to lose all of it.
  const bool keeps_size = (change->valid & FATTR_SIZE) == 0 || change->size == service_.size();
  const bool is_harmless = (change->valid & ~(kTimes | kAside | FATTR_SIZE)) == 0;
  if (!keeps_size || !is_harmless) return answer(request.header.unique, EPERM);
  if ((change->valid & (FATTR_MTIME | FATTR_MTIME_NOW)) != 0) folder_.note_change();
  answer_attributes(request);
}

void FuseSession::answer_open(const fuse::Request& request) {
  const auto open = request.head<fuse_open_in>();
  if (!open) return answer(request.header.unique, EINVAL);
  const bool is_file = request.header.nodeid == fuse::kFileNode;
  if (is_file != (request.opcode() == FUSE_OPEN)) {
    return answer(request.header.unique, is_file ? ENOTDIR : EISDIR);
  }
  fuse_open_out out{};
  if (is_file) {
    if (is_refusing_) return answer(request.header.unique, ESHUTDOWN);
    if ((open->flags & O_ACCMODE) != O_RDONLY && may_not_write()) {
      return answer(request.header.unique, EROFS);
    }
    ++open_files_;
    out.fh = handle_of(open->flags);
    // Nothing is cached that another front end may change. Kernels before 6.0 do not look at the
    // last one, and let one write after the other through.
    out.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES;
  } else {
    out.open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
  }
  answer_with(request.header.unique, out);
}

void FuseSession::answer_entries(const fuse::Request& request) {
  const auto read = request.head<fuse_read_in>();
  if (!read) return answer(request.header.unique, EINVAL);
  if (request.header.nodeid != fuse::kRootNode) return answer(request.header.unique, ENOTDIR);
  answer(request.header.unique,
         ConstBytes(folder_.entries(read->offset, std::min(read->size, fuse::kMostData))));
}

void FuseSession::answer_statistics(const fuse::Request& request) {
  fuse_statfs_out out{};
  // The kernel discards on a loop device in units of this.
  out.st.bsize = out.st.frsize = fuse::kPageSize;
  out.st.blocks = service_.size() / fuse::kPageSize;
  out.st.files = 1;
  out.st.namelen = NAME_MAX;
  answer_with(request.header.unique, out);
}

// ---- answers

int FuseSession::send(std::uint64_t unique, std::int32_t error, std::span<iovec> pieces) {
  fuse_out_header header{};
  std::size_t length = sizeof header;
  for (const iovec& piece : pieces.subspan(1)) length += piece.iov_len;
  header.len = static_cast<std::uint32_t>(length);
  header.error = error;
  header.unique = unique;
  pieces.front() = {&header, sizeof header};
  if (!descriptor_) return ENODEV;
  ssize_t sent = 0;
  do {
    sent = writev(descriptor_.get(), pieces.data(), static_cast<int>(pieces.size()));
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

void FuseSession::answer(std::uint64_t unique, int error) {
  iovec header{};
  // Who asked may have given up, and the mount may have gone: then nobody waits.
  static_cast<void>(send(unique, -error, {&header, 1}));
}

void FuseSession::answer(std::uint64_t unique, const Result<void>& outcome) {
  answer(unique, outcome ? 0 : client_errno(outcome.error().code()));
}

void FuseSession::answer(std::uint64_t unique, ConstBytes payload) {
  std::array<iovec, 2> pieces{};
  pieces[1] = {const_cast<std::byte*>(payload.data()), payload.size()};
  answer_data(unique, pieces);
}

void FuseSession::answer_data(std::uint64_t unique, std::span<iovec> pieces) {
  switch (const int error = send(unique, 0, pieces)) {
    case 0:
    case ENOENT:  // who asked has given up
    case ENODEV: return;
    default:
      // Whoever waits must not wait for ever.
      log(fmt::format("an answer to the kernel failed: {}", errno_error(error, "write").message()));
      answer(unique, EIO);
  }
}

Result<void> FuseSession::notify(std::int32_t code, ConstBytes payload) {
  std::array<iovec, 2> pieces{};
  pieces[1] = {const_cast<std::byte*>(payload.data()), payload.size()};
  const int error = send(0, code, std::span(pieces).first(payload.empty() ? 1 : 2));
  if (error == 0) return {};
  return errno_error(error, "a message to the kernel");
}

}  // namespace uvdo
