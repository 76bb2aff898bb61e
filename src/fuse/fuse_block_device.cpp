// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_block_device.h"

#include <filesystem>

#include <fmt/core.h>

#include "async/blocking_call.h"

namespace uvdo {
namespace {

FuseServer::Settings server_settings(const FuseBlockDevice::Settings& settings) {
  FuseServer::Settings server;
  server.folder = settings.folder;
  server.makes_folder = true;
  server.file = settings.file;
  server.read_memory = settings.read_memory;
  server.times = settings.times;
  server.log = settings.log;
  server.keeper = settings.keeper;
  server.first_flush_fails = settings.first_flush_fails;
  server.on_unmounted = settings.on_unmounted;
  return server;
}

}  // namespace

FuseBlockDevice::FuseBlockDevice(UringLoop& loop, BlockService& service, RequestBudget& budget,
                                 Settings settings)
    : loop_(loop),
      service_(service),
      settings_(std::move(settings)),
      server_(loop, service, budget, server_settings(settings_)),
      updates_(loop) {}

FuseBlockDevice::~FuseBlockDevice() {
  check(!device_ && updates_.running() == 0, "a block device was shut down");
}

Result<void> FuseBlockDevice::remove_remains(const std::string& folder, const std::string& file) {
  auto lives = has_living_server(folder);
  if (!lives) return std::move(lives).error();
  if (*lives) {
    return Error(Errc::busy, fmt::format("a running server has mounted a volume on {}", folder));
  }
  std::error_code error;
  const std::filesystem::path path(folder);
  const auto parent = std::filesystem::canonical(path.parent_path(), error);
  if (error) return {};
  // While the mount has its name, so have its loop devices.
  for (const LoopDevice& device : LoopDevice::find(parent / path.filename() / file)) {
    if (auto detached = device.detach(LoopDevice::InUse::later); !detached) {
      return std::move(detached).error();
    }
  }
  if (auto unmounted = unmount_remains(folder); !unmounted) return unmounted;
  std::filesystem::remove(path, error);  // if nobody has put anything into it
  return {};
}

void FuseBlockDevice::adopt(FuseServer::Handover handover, std::string device) {
  is_adopted_ = true;
  adopted_device_ = std::move(device);
  server_.adopt(std::move(handover));
}

Task<FuseServer::Handover> FuseBlockDevice::hand_over() {
  co_await updates_.wait();
  device_.reset();
  FuseServer::Handover handover = co_await server_.hand_over();
  co_return handover;
}

Task<Result<void>> FuseBlockDevice::leave() {
  const FuseServer::Handover kept = co_await hand_over();
  co_return Result<void>();
}

std::vector<FrontEndAddress> FuseBlockDevice::addresses() const {
  if (!device_) return {};
  return {{device_->path(), false}};
}

Task<Result<void>> FuseBlockDevice::start() {
  if (settings_.block_size != 512 && settings_.block_size != 4096) {
    co_return Error(Errc::invalid_argument, "a block device has blocks of 512 or 4096 bytes");
  }
  const auto remove = [this] { return remove_remains(settings_.folder, settings_.file); };
  if (!is_adopted_) {
    Result<void> clean = co_await call_blocking(loop_, Descriptors::own, remove);
    if (!clean) co_return clean;
  }
  Result<void> started = co_await server_.start();
  if (!started && is_adopted_) {
    Result<void> clean = co_await call_blocking(loop_, Descriptors::own, remove);
    if (!clean) log(clean.error().message());
  }
  if (!started) co_return started;
  Result<void> attached = co_await attach();
  if (!attached) co_await server_.shutdown();
  co_return attached;
}

Task<Result<void>> FuseBlockDevice::attach() {
  LoopDevice::Settings wanted;
  wanted.file = server_.file();
  wanted.block_size = settings_.block_size;
  wanted.read_only = service_.is_read_only();
  const auto make = [&]() -> Result<LoopDevice> {
    if (is_adopted_) {
      for (const LoopDevice& there : LoopDevice::find(wanted.file)) {
        if (adopted_device_.empty() || there.path() == adopted_device_) return there;
      }
    }
    return LoopDevice::attach(wanted);
  };
  auto made = co_await call_blocking(loop_, Descriptors::own, make);
  if (!made) co_return std::move(made).error();
  device_.emplace(std::move(*made));
  // The volume may have grown meanwhile.
  if (is_adopted_ && device_->size() != service_.size()) size_changed();
  if (!wanted.read_only && device_->largest_discard() == 0) {
    log(fmt::format("{} takes no discards: what is deleted on it stays in the volume",
                    device_->path()));
  }
  co_return Result<void>();
}

void FuseBlockDevice::size_changed() {
  server_.size_changed();
  is_size_new_ = true;
  if (device_ && updates_.running() == 0) updates_.start(update_size());
}

Task<void> FuseBlockDevice::update_size() {
  while (device_ && std::exchange(is_size_new_, false)) {
    const LoopDevice device = *device_;  // which may be detached meanwhile
    const auto update = [&device] { return device.update_size(); };
    Result<void> updated = co_await call_blocking(loop_, Descriptors::own, update);
    if (!updated) log(updated.error().message());
  }
}

Task<Result<void>> FuseBlockDevice::detach() {
  if (!device_) co_return Result<void>();
  const LoopDevice device = *device_;
  const auto take_off = [&device] { return device.detach(LoopDevice::InUse::refuse); };
  auto detached = co_await call_blocking(loop_, Descriptors::own, take_off);
  if (!detached) co_return std::move(detached).error();
  device_.reset();
  co_return Result<void>();
}

Task<void> FuseBlockDevice::shutdown() {
  if (device_) {
    const LoopDevice device = *device_;
    const auto take_off = [&device] { return device.detach(LoopDevice::InUse::later); };
    auto detached = co_await call_blocking(loop_, Descriptors::own, take_off);
    if (!detached) {
      log(detached.error().message());
    } else if (*detached == LoopDevice::Detached::later) {
      log(device.path() + " is still in use: its users get errors until the last of them leaves");
    }
    device_.reset();
  }
  co_await updates_.wait();
  co_await server_.shutdown();
}

}  // namespace uvdo
