// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_control.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <unistd.h>

#include "async/alarm.h"

namespace uvdo {
namespace {

/// How often it is asked whether the server before has gone.
constexpr Duration kRecoveryInterval = std::chrono::milliseconds(50);

/// The error of a command that has failed: `what` was attempted with a device.
Error failure(int result, std::string_view what, std::uint32_t device) {
  const std::string doing = fmt::format("{} ublk device {}", what, device);
  switch (-result) {
    case ENODEV:
    case ENOENT: return {Errc::not_found, fmt::format("{}: there is no such device", doing)};
    case EPERM:
    case EACCES:
      return {Errc::io, fmt::format("{}: only root may do that, and the user who has made a "
                                    "device that needs no privilege",
                                    doing)};
    case EINTR:
    case ECANCELED: return {Errc::busy, fmt::format("{}: it did not end in time", doing)};
    default: return errno_error(-result, doing);
  }
}

Result<void> outcome(int result, std::string_view what, std::uint32_t device) {
  if (result < 0) return failure(result, what, device);
  return {};
}

std::uint64_t own_process() { return static_cast<std::uint64_t>(getpid()); }

template <class T>
MutableBytes bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace

Task<int> UblkControl::command(std::uint32_t operation, const ublk::DeviceInfo& device,
                               MutableBytes data, std::uint64_t value, Duration limit) {
  std::array<std::byte, 128> payload{};
  ublk::ControlCommand command;
  command.device = device.device;
  command.value = value;
  const bool is_unprivileged = (device.flags & ublk::kUnprivilegedDevice) != 0;
  std::size_t path_length = 0;
  if (operation == ublk::kGetDeviceInfo ||
      (is_unprivileged && operation != ublk::kAddDevice && operation != ublk::kGetFeatures)) {
    const std::string path = ublk_port_path(device.device);
    path_length = path.size() + 1;
    std::memcpy(payload.data(), path.c_str(), path_length);
  }
  const std::size_t length = path_length + data.size();
  check(length <= payload.size(), "a command's data fit");
  if (!data.empty()) std::memcpy(payload.data() + path_length, data.data(), data.size());
  command.path_length = static_cast<std::uint16_t>(path_length);
  command.length = static_cast<std::uint16_t>(length);
  if (length > 0) command.address = reinterpret_cast<std::uint64_t>(payload.data());
  const int result = co_await driver_.control(operation, command, limit);
  if (!data.empty()) std::memcpy(data.data(), payload.data() + path_length, data.size());
  co_return result;
}

Task<Result<std::uint64_t>> UblkControl::features() {
  std::uint64_t features = 0;
  ublk::DeviceInfo none;
  none.device = ublk::kAnyDevice;
  const int result =
      co_await command(ublk::kGetFeatures, none, bytes_of(features), 0, UblkDriver::kNoLimit);
  if (result < 0 || (features & ublk::kIoctlEncode) == 0) {
    co_return Error(Errc::unsupported,
                    "the kernel's ublk driver is too old: uvdo needs that of Linux 6.5 or later");
  }
  co_return features;
}

Task<Result<ublk::DeviceInfo>> UblkControl::info(std::uint32_t device) {
  ublk::DeviceInfo info;
  info.device = device;
  const int result =
      co_await command(ublk::kGetDeviceInfo, info, bytes_of(info), 0, UblkDriver::kNoLimit);
  if (result < 0) co_return failure(result, "looking at", device);
  if (info.queues == 0 || info.queues > ublk::kMaxQueues || info.depth == 0 ||
      info.depth > ublk::kMaxDepth || info.max_io_bytes == 0 || info.device != device) {
    co_return Error(Errc::protocol,
                    fmt::format("the ublk driver tells nonsense of device {}", device));
  }
  co_return info;
}

Task<Result<std::optional<ublk::DeviceInfo>>> UblkControl::find(std::uint64_t server_data) {
  if (server_data == 0) co_return std::optional<ublk::DeviceInfo>();
  auto devices = driver_.devices();
  if (!devices) co_return std::move(devices).error();
  for (const std::uint32_t device : *devices) {
    auto found = co_await info(device);
    // One may have gone meanwhile, and those of other users cannot be looked at.
    if (found && found->server_data == server_data) {
      co_return std::optional<ublk::DeviceInfo>(*found);
    }
  }
  co_return std::optional<ublk::DeviceInfo>();
}

Task<Result<ublk::DeviceInfo>> UblkControl::add(ublk::DeviceInfo wanted) {
  const std::uint32_t number = wanted.device;
  const int result =
      co_await command(ublk::kAddDevice, wanted, bytes_of(wanted), 0, UblkDriver::kNoLimit);
  if (result == -EEXIST) {
    co_return Error(Errc::exists,
                    fmt::format("ublk device {} exists: take another number, leave the "
                                "choice to the driver, or take the device over",
                                number));
  }
  if (result == -EPERM) {
    co_return Error(Errc::io,
                    "only root may make a ublk device: run as root, or make one that needs no "
                    "privilege");
  }
  if (result == -ENOSPC) {
    co_return Error(Errc::no_memory,
                    "there are as many ublk devices of users as the driver allows (its parameter "
                    "ublks_max)");
  }
  if (result < 0) co_return errno_error(-result, "making a ublk device");
  co_return wanted;
}

Task<Result<void>> UblkControl::set_attributes(const ublk::DeviceInfo& device,
                                               const UblkAttributes& attributes) {
  auto parameters = encode_parameters(attributes);
  if (!parameters) co_return std::move(parameters).error();
  const int result = co_await command(ublk::kSetParameters, device, bytes_of(*parameters), 0,
                                      UblkDriver::kNoLimit);
  co_return outcome(result, "telling the properties of", device.device);
}

Task<Result<UblkAttributes>> UblkControl::attributes(const ublk::DeviceInfo& device) {
  ublk::Parameters parameters;
  parameters.length = sizeof parameters;
  const int result =
      co_await command(ublk::kGetParameters, device, bytes_of(parameters), 0, UblkDriver::kNoLimit);
  if (result < 0) co_return failure(result, "asking the properties of", device.device);
  co_return decode_parameters(parameters);
}

Task<Result<void>> UblkControl::start(const ublk::DeviceInfo& device, Duration limit) {
  const int result = co_await command(ublk::kStartDevice, device, {}, own_process(), limit);
  co_return outcome(result, "starting", device.device);
}

Task<Result<void>> UblkControl::stop(const ublk::DeviceInfo& device) {
  const int result = co_await command(ublk::kStopDevice, device);
  co_return outcome(result, "stopping", device.device);
}

Task<Result<void>> UblkControl::remove(const ublk::DeviceInfo& device, Duration limit) {
  const int result = co_await command(ublk::kDeleteDevice, device, {}, 0, limit);
  if (result == -EINTR || result == -ECANCELED) {
    co_return Error(Errc::busy,
                    fmt::format("somebody still has {} open: it is gone, and its number is free as "
                                "soon as he closes it",
                                ublk_disk_path(device.device)));
  }
  co_return outcome(result, "removing", device.device);
}

Task<Result<void>> UblkControl::end(const ublk::DeviceInfo& device, Duration limit) {
  Result<void> stopped = co_await stop(device);
  if (!stopped) co_return stopped;
  Result<void> removed = co_await remove(device, limit);
  co_return removed;
}

Task<Result<void>> UblkControl::start_recovery(const ublk::DeviceInfo& device, Duration patience) {
  const TimePoint end = executor_.now() + patience;
  Alarm pause(executor_);
  for (;;) {
    const int result = co_await command(ublk::kStartRecovery, device);
    if (result != -EBUSY) co_return outcome(result, "taking over", device.device);
    if (executor_.now() >= end) {
      co_return Error(Errc::busy,
                      fmt::format("ublk device {} is still served by process {}: end that first",
                                  device.device, device.server_pid));
    }
    co_await pause.sleep(kRecoveryInterval);
  }
}

Task<Result<void>> UblkControl::end_recovery(const ublk::DeviceInfo& device, Duration limit) {
  const int result = co_await command(ublk::kEndRecovery, device, {}, own_process(), limit);
  co_return outcome(result, "taking over", device.device);
}

Task<Result<void>> UblkControl::quiesce(const ublk::DeviceInfo& device, Duration limit) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
  const int result = co_await command(ublk::kQuiesceDevice, device, static_cast<std::uint64_t>(ms));
  co_return outcome(result, "leaving", device.device);
}

Task<Result<void>> UblkControl::update_size(const ublk::DeviceInfo& device, std::uint64_t size) {
  if ((device.flags & ublk::kCanUpdateSize) == 0) {
    co_return Error(Errc::unsupported,
                    fmt::format("{} keeps its size until it is detached and attached again: only "
                                "Linux 6.16 and later can change that of a ublk device in use",
                                ublk_disk_path(device.device)));
  }
  const int result = co_await command(ublk::kUpdateSize, device, size >> ublk::kSectorShift);
  co_return outcome(result, "giving a new size to", device.device);
}

}  // namespace uvdo
