// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/device_front_ends.h"

#include <filesystem>

#include <unistd.h>

#include "async/blocking_call.h"
#include "base/text_hash.h"
#include "control/control_path.h"
#include "fuse/fuse_block_device.h"
#include "fuse/fuse_server.h"
#include "nbd/kernel_nbd_device.h"
#include "ublk/machine_ublk_device.h"

namespace uvdo {
namespace {

std::function<void(const std::string&)> teller(const DeviceSurroundings& surroundings) {
  return [log = surroundings.log](const std::string& line) { log(line); };
}

Result<std::unique_ptr<FrontEnd>> make_ublk(const DeviceSurroundings& surroundings,
                                            const Attachments::Order& order) {
  UblkDevice::Settings settings;
  if (order.take_over) {
    auto device = parse_ublk_disk_path(order.device.path);
    if (!device) return std::move(device).error();
    settings.takeover = UblkTakeover{*device, !surroundings.may_miss_writes};
  }
  settings.identity = text_hash(surroundings.volume_id + "/" + order.device.name);
  settings.logical_block_size = static_cast<std::uint32_t>(order.device.block_size);
  settings.times = &surroundings.times;
  settings.log = teller(surroundings);
  auto made = MachineUblkDevice::make(surroundings.loop, *order.service, surroundings.requests,
                                      std::move(settings));
  // Whatever keeps this process from the driver: another kind may do.
  if (!made) return Error(Errc::unsupported, made.error().message());
  return made;
}

Result<std::unique_ptr<FrontEnd>> make_nbd(const DeviceSurroundings& surroundings,
                                           const Attachments::Order& order) {
  if (geteuid() != 0) {
    return Error(Errc::unsupported, "the kernel's NBD client takes the rights of root");
  }
  if (access("/sys/module/nbd", F_OK) != 0) {
    return Error(Errc::unsupported, "the driver nbd is not loaded (modprobe nbd)");
  }
  KernelNbdDevice::Settings settings;
  settings.identifier = surroundings.volume_id + "/" + order.device.name;
  if (order.take_over) {
    auto index = parse_kernel_nbd_name(order.device.path);
    if (!index) return std::move(index).error();
    settings.index = *index;
    settings.first_flush_fails = surroundings.may_miss_writes;
  }
  settings.block_size = static_cast<std::uint32_t>(order.device.block_size);
  settings.times = &surroundings.times;
  settings.log = teller(surroundings);
  return std::unique_ptr<FrontEnd>(std::make_unique<KernelNbdDevice>(
      surroundings.loop, *order.service, surroundings.requests, std::move(settings)));
}

FuseKeeper keeper_of(const DeviceSurroundings& surroundings, const Attachments::Order& order) {
  if (surroundings.kept == nullptr) return {};
  KeptDescriptors& kept = *surroundings.kept;
  const std::string name = kept_mount_of(order.device.name);
  return {[&kept, name](int descriptor) { return kept.keep(name, descriptor); },
          [&kept, name] { kept.forget(name); }};
}

/// The descriptor that a server before this one has left of the device's mount; none if it is a new
/// device, or nobody has kept it.
FileDescriptor claim(const DeviceSurroundings& surroundings, const Attachments::Order& order) {
  if (surroundings.kept == nullptr || !order.take_over) return {};
  return surroundings.kept->claim_one(kept_mount_of(order.device.name));
}

Result<std::unique_ptr<FrontEnd>> make_fuse(const DeviceSurroundings& surroundings,
                                            const Attachments::Order& order) {
  if (geteuid() != 0 || access("/dev/loop-control", W_OK) != 0) {
    return Error(Errc::unsupported, geteuid() != 0 ? "a loop device takes the rights of root"
                                                   : "there are no loop devices (modprobe loop)");
  }
  if (access("/dev/fuse", R_OK | W_OK) != 0) {
    return Error(Errc::unsupported, "there is no /dev/fuse (modprobe fuse)");
  }
  FuseBlockDevice::Settings settings;
  settings.keeper = keeper_of(surroundings, order);
  settings.first_flush_fails = surroundings.may_miss_writes;
  settings.folder = surroundings.folder + "/" + order.device.name;
  settings.file = order.device.name;
  settings.block_size = static_cast<std::uint32_t>(order.device.block_size);
  settings.times = &surroundings.times;
  settings.log = teller(surroundings);
  auto made = std::make_unique<FuseBlockDevice>(surroundings.loop, *order.service,
                                                surroundings.requests, std::move(settings));
  if (FileDescriptor kept = claim(surroundings, order)) {
    made->adopt({std::move(kept), {}}, order.device.path);
  }
  return std::unique_ptr<FrontEnd>(std::move(made));
}

Result<std::unique_ptr<FrontEnd>> make_file(const DeviceSurroundings& surroundings,
                                            const Attachments::Order& order) {
  if (access("/dev/fuse", R_OK | W_OK) != 0) {
    return Error(Errc::unsupported, access("/dev/fuse", F_OK) != 0
                                        ? "there is no /dev/fuse (modprobe fuse)"
                                        : "/dev/fuse is closed to this user");
  }
  FuseServer::Settings settings;
  const std::string own_folder = surroundings.folder + "/" + order.device.name;
  settings.folder = order.at.empty() ? own_folder : order.at;
  if (order.at.empty()) settings.file = order.device.name;
  if (order.take_over) {
    const std::filesystem::path path(order.device.path);
    settings.folder = path.parent_path();
    settings.file = path.filename();
  }
  settings.makes_folder = settings.folder == own_folder;
  settings.keeper = keeper_of(surroundings, order);
  settings.first_flush_fails = surroundings.may_miss_writes;
  FileDescriptor kept = claim(surroundings, order);
  settings.replaces_remains = order.take_over && !kept;
  settings.times = &surroundings.times;
  settings.log = teller(surroundings);
  auto made = std::make_unique<FuseServer>(surroundings.loop, *order.service, surroundings.requests,
                                           std::move(settings));
  if (kept) made->adopt({std::move(kept), {}});
  return std::unique_ptr<FrontEnd>(std::move(made));
}

}  // namespace

Result<std::unique_ptr<FrontEnd>> make_device_front_end(const DeviceSurroundings& surroundings,
                                                        const Attachments::Order& order) {
  switch (order.device.kind) {
    case DeviceKind::nbd: return make_nbd(surroundings, order);
    case DeviceKind::ublk: return make_ublk(surroundings, order);
    case DeviceKind::fuse: return make_fuse(surroundings, order);
    case DeviceKind::file: return make_file(surroundings, order);
  }
  return Error(Errc::invalid_argument, "no such kind of device");
}

Task<void> end_unclaimed_mounts(const DeviceSurroundings& surroundings) {
  if (surroundings.kept == nullptr) co_return;
  std::vector<KeptDescriptor> unclaimed = surroundings.kept->claim(kKeptMounts);
  for (KeptDescriptor& one : unclaimed) {
    surroundings.kept->forget(one.name);
    one.fd = FileDescriptor();
    const std::string device = one.name.substr(kKeptMounts.size());
    const std::string folder = surroundings.folder + "/" + device;
    const auto remove = [&] { return FuseBlockDevice::remove_remains(folder, device); };
    Result<void> removed = co_await call_blocking(surroundings.loop, Descriptors::own, remove);
    if (!removed) surroundings.log({LogLevel::warning, removed.error().message()});
  }
}

}  // namespace uvdo
