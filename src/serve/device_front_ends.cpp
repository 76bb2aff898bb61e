// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/device_front_ends.h"

#include <unistd.h>

#include "base/text_hash.h"
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
  settings.folder = surroundings.folder + "/" + order.device.name;
  settings.file = order.device.name;
  settings.block_size = static_cast<std::uint32_t>(order.device.block_size);
  settings.times = &surroundings.times;
  settings.log = teller(surroundings);
  return std::unique_ptr<FrontEnd>(std::make_unique<FuseBlockDevice>(
      surroundings.loop, *order.service, surroundings.requests, std::move(settings)));
}

Result<std::unique_ptr<FrontEnd>> make_file(const DeviceSurroundings& surroundings,
                                            const Attachments::Order& order) {
  if (access("/dev/fuse", R_OK | W_OK) != 0) {
    return Error(Errc::unsupported, access("/dev/fuse", F_OK) != 0
                                        ? "there is no /dev/fuse (modprobe fuse)"
                                        : "/dev/fuse is closed to this user");
  }
  FuseServer::Settings settings;
  settings.folder = order.at.empty() ? surroundings.folder + "/" + order.device.name : order.at;
  settings.makes_folder = order.at.empty();
  if (order.at.empty()) settings.file = order.device.name;
  settings.times = &surroundings.times;
  settings.log = teller(surroundings);
  return std::unique_ptr<FrontEnd>(std::make_unique<FuseServer>(
      surroundings.loop, *order.service, surroundings.requests, std::move(settings)));
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

}  // namespace uvdo
