// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_server.h"

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include "async/blocking_call.h"

namespace uvdo {
namespace {

constexpr mode_t kWriteBits = 0222;

bool is_never_written(const BlockService& service) {
  return service.is_read_only() && !service.has_failed();
}

FuseSession::Settings session_settings(const FuseServer::Settings& settings,
                                       const BlockService& service) {
  FuseSession::Settings session;
  // A name that cannot be is refused by start().
  if (check_file_name(settings.file) == 0) session.name = settings.file;
  session.owner = settings.owner;
  session.mode = is_never_written(service) ? settings.mode & ~kWriteBits : settings.mode;
  session.read_memory = settings.read_memory;
  session.times = settings.times;
  session.log = settings.log;
  session.first_flush_fails = settings.first_flush_fails;
  return session;
}

/// Blocks.
Result<FuseMount> make_mount(const FuseMount::Settings& settings, bool makes_folder,
                             bool replaces_remains) {
  if (replaces_remains) {
    if (auto clean = unmount_remains(settings.folder); !clean) return std::move(clean).error();
  }
  if (makes_folder) {
    std::error_code error;
    std::filesystem::create_directories(settings.folder, error);
    if (error) {
      return errno_error(error.value(), fmt::format("making the folder {}", settings.folder));
    }
  }
  return FuseMount::make(settings);
}

}  // namespace

FuseServer::FuseServer(UringLoop& loop, BlockService& service, RequestBudget& budget,
                       Settings settings)
    : loop_(loop),
      service_(service),
      settings_(std::move(settings)),
      session_(loop, service, budget, session_settings(settings_, service)),
      watching_(loop) {}

FuseServer::~FuseServer() { check(watching_.running() == 0, "the FUSE server was shut down"); }

std::vector<FrontEndAddress> FuseServer::addresses() const {
  return {{mount_ ? file() : fmt::format("{}/{}", settings_.folder, settings_.file), false}};
}

std::string FuseServer::file() const {
  return fmt::format("{}/{}", mount_->folder(), settings_.file);
}

Task<Result<void>> FuseServer::start() {
  if (const int error = check_file_name(settings_.file); error != 0) {
    co_return errno_error(error, fmt::format("\"{}\" as the name of a file", settings_.file));
  }
  Result<void> mounted = co_await mount();
  if (!mounted) co_return mounted;
  std::optional<FuseHandover> state;
  FileDescriptor descriptor;
  if (handover_) {
    state = handover_->state;
    descriptor = std::move(handover_->descriptor);
    handover_.reset();
  } else {
    descriptor = mount_->take_descriptor();
  }
  if (auto begun = session_.begin(std::move(descriptor), state); !begun) {
    mount_.reset();  // it goes with the descriptor
    static_cast<void>(co_await session_.finish());
    forget();
    co_return begun;
  }
  watching_.start(watch());
  const bool is_greeted = co_await session_.wait_until_greeted();
  if (is_greeted) {
    keep();
    if (state) co_await compare_size();
    co_return Result<void>();
  }
  co_await shutdown();
  co_return Error(Errc::io,
                  fmt::format("the mount on {} was gone before it was in use", settings_.folder));
}

Task<Result<void>> FuseServer::mount() {
  FuseMount::Settings wanted;
  wanted.folder = settings_.folder;
  wanted.allow_other = settings_.allow_other;
  wanted.read_only = is_never_written(service_);
  const bool is_adopted = handover_.has_value();
  const auto make = [&] {
    return is_adopted ? FuseMount::adopt(wanted.folder)
                      : make_mount(wanted, settings_.makes_folder, settings_.replaces_remains);
  };
  auto made = co_await call_blocking(loop_, Descriptors::shared, make);
  if (!made) {
    handover_.reset();
    if (is_adopted) forget();
    co_return std::move(made).error();
  }
  mount_.emplace(std::move(*made));
  co_return Result<void>();
}

Task<void> FuseServer::watch() {
  co_await session_.wait_until_gone();
  if (is_stopping_) co_return;
  forget();
  log(fmt::format("the volume is no longer mounted on {}", mount_->folder()));
  if (settings_.on_unmounted) settings_.on_unmounted();
}

Task<void> FuseServer::shutdown() {
  is_stopping_ = true;
  if (mount_) {
    const auto unmount = [this] { return mount_->unmount(); };
    Result<void> unmounted = co_await call_blocking(loop_, Descriptors::own, unmount);
    if (!unmounted) log(unmounted.error().message());
  }
  session_.refuse();
  forget();
  {
    // Closed, it ends the mount for whoever has the file open still.
    const FileDescriptor descriptor = co_await session_.finish();
  }
  co_await watching_.wait();
  if (mount_ && settings_.makes_folder) {
    std::error_code ignored;
    std::filesystem::remove(mount_->folder(), ignored);
  }
  mount_.reset();
}

Task<Result<void>> FuseServer::leave() {
  const Handover kept = co_await hand_over();
  co_return Result<void>();
}

/// The volume may have grown since the server before has told of its size. Only then is the kernel
/// to ask: whoever waits for the answer waits long if this server dies too.
Task<void> FuseServer::compare_size() {
  const auto look = [this]() -> Result<std::uint64_t> {
    struct statx known {};
    const std::string path = file();
    if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_SIZE, &known) == 0) {
      return known.stx_size;
    }
    return errno_error(errno, fmt::format("looking at {}", path));
  };
  auto known = co_await call_blocking(loop_, Descriptors::own, look);
  if (!known || *known != service_.size()) session_.size_changed();
}

void FuseServer::keep() {
  // Where the kernel cannot ask again, whoever waits is better told that the mount has ended.
  if (!settings_.keeper.keep || !session_.handover().agreement.can_resend) return;
  auto kept = settings_.keeper.keep(session_.descriptor());
  is_kept_ = kept.ok();
  if (kept) return;
  log(fmt::format("if this server dies, the mount on {} ends with it: {}", mount_->folder(),
                  kept.error().message()));
}

void FuseServer::forget() {
  is_kept_ = false;
  if (settings_.keeper.forget) settings_.keeper.forget();
}

Task<FuseServer::Handover> FuseServer::hand_over() {
  is_stopping_ = true;
  FileDescriptor descriptor = co_await session_.finish();
  co_await watching_.wait();
  mount_.reset();
  co_return Handover{std::move(descriptor), session_.handover()};
}

}  // namespace uvdo
