// SPDX-License-Identifier: GPL-2.0-or-later
// The interface of Linux's ublk driver: numbers and layouts of include/uapi/linux/ublk_cmd.h, as of
// Linux 6.16. They stand here because the header of an older kernel lacks the later ones. What they
// mean is told in the kernel's Documentation/block/ublk.rst.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <linux/ioctl.h>

namespace uvdo::ublk {

// ---- commands to /dev/ublk-control

/// ublksrv_ctrl_cmd: the second half of a submission entry of 128 bytes begins in the middle of it.
struct ControlCommand {
  std::uint32_t device = 0;
  std::uint16_t queue = 0xffff;  ///< none
  std::uint16_t length = 0;      ///< bytes at `address`, the path included
  std::uint64_t address = 0;
  std::uint64_t value = 0;
  /// Of a device of somebody who is not root, and of get_device_info: the data begin with the path
  /// of its character device, with a zero behind it.
  std::uint16_t path_length = 0;
  std::uint16_t padding = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(ControlCommand) == 32);
static_assert(offsetof(ControlCommand, address) == 8);
static_assert(offsetof(ControlCommand, path_length) == 24);

inline constexpr std::uint32_t kAddDevice = _IOWR('u', 0x04, ControlCommand);
inline constexpr std::uint32_t kDeleteDevice = _IOWR('u', 0x05, ControlCommand);
inline constexpr std::uint32_t kStartDevice = _IOWR('u', 0x06, ControlCommand);
inline constexpr std::uint32_t kStopDevice = _IOWR('u', 0x07, ControlCommand);
inline constexpr std::uint32_t kSetParameters = _IOWR('u', 0x08, ControlCommand);
inline constexpr std::uint32_t kGetParameters = _IOR('u', 0x09, ControlCommand);
inline constexpr std::uint32_t kStartRecovery = _IOWR('u', 0x10, ControlCommand);
inline constexpr std::uint32_t kEndRecovery = _IOWR('u', 0x11, ControlCommand);
inline constexpr std::uint32_t kGetDeviceInfo = _IOR('u', 0x12, ControlCommand);  // GET_DEV_INFO2
inline constexpr std::uint32_t kGetFeatures = _IOR('u', 0x13, ControlCommand);
inline constexpr std::uint32_t kUpdateSize = _IOWR('u', 0x15, ControlCommand);
inline constexpr std::uint32_t kQuiesceDevice = _IOWR('u', 0x16, ControlCommand);

/// Of ControlCommand::device in kAddDevice: the driver chooses one.
inline constexpr std::uint32_t kAnyDevice = 0xffff'ffff;

// ---- features of a driver, and flags of a device

inline constexpr std::uint64_t kUserRecovery = std::uint64_t{1} << 3U;
inline constexpr std::uint64_t kUserRecoveryReissue = std::uint64_t{1} << 4U;
inline constexpr std::uint64_t kUnprivilegedDevice = std::uint64_t{1} << 5U;
inline constexpr std::uint64_t kIoctlEncode = std::uint64_t{1} << 6U;
inline constexpr std::uint64_t kUserCopy = std::uint64_t{1} << 7U;
inline constexpr std::uint64_t kCanUpdateSize = std::uint64_t{1} << 10U;
inline constexpr std::uint64_t kCanQuiesce = std::uint64_t{1} << 12U;

// ---- a device

inline constexpr std::uint16_t kStateDead = 0;
inline constexpr std::uint16_t kStateLive = 1;
inline constexpr std::uint16_t kStateQuiesced = 2;
inline constexpr std::uint16_t kStateFailing = 3;

/// ublksrv_ctrl_dev_info
struct DeviceInfo {
  std::uint16_t queues = 0;
  std::uint16_t depth = 0;  ///< requests of a queue
  std::uint16_t state = 0;
  std::uint16_t padding0 = 0;
  std::uint32_t max_io_bytes = 0;
  std::uint32_t device = 0;
  std::int32_t server_pid = 0;
  std::uint32_t padding1 = 0;
  std::uint64_t flags = 0;
  std::uint64_t server_data = 0;  ///< "ublksrv_flags": the driver keeps it for the server
  std::uint32_t owner_uid = 0;
  std::uint32_t owner_gid = 0;
  std::uint64_t reserved1 = 0;
  std::uint64_t reserved2 = 0;
};
static_assert(sizeof(DeviceInfo) == 64);
static_assert(offsetof(DeviceInfo, max_io_bytes) == 8);
static_assert(offsetof(DeviceInfo, flags) == 24);
static_assert(offsetof(DeviceInfo, server_data) == 32);

inline constexpr unsigned kSectorShift = 9;
inline constexpr std::uint16_t kMaxDepth = 4096;
inline constexpr std::uint16_t kMaxQueues = 4096;

inline constexpr std::uint32_t kReadOnly = 1U << 0U;
inline constexpr std::uint32_t kVolatileCache = 1U << 2U;
inline constexpr std::uint32_t kFuaWrites = 1U << 3U;

inline constexpr std::uint32_t kHasBasic = 1U << 0U;
inline constexpr std::uint32_t kHasDiscard = 1U << 1U;

/// ublk_params, with the parts that are used here.
struct Parameters {
  std::uint32_t length = 0;
  std::uint32_t types = 0;

  std::uint32_t attributes = 0;
  std::uint8_t logical_block_shift = 0;
  std::uint8_t physical_block_shift = 0;
  std::uint8_t io_optimum_shift = 0;
  std::uint8_t io_minimum_shift = 0;
  std::uint32_t max_sectors = 0;
  std::uint32_t chunk_sectors = 0;
  std::uint64_t sectors = 0;
  std::uint64_t boundary_mask = 0;

  std::uint32_t discard_alignment = 0;
  std::uint32_t discard_granularity = 0;
  std::uint32_t max_discard_sectors = 0;
  std::uint32_t max_zeroes_sectors = 0;
  std::uint16_t max_discard_segments = 0;
  std::uint16_t reserved = 0;
};
static_assert(sizeof(Parameters) == 64);
static_assert(offsetof(Parameters, attributes) == 8);
static_assert(offsetof(Parameters, sectors) == 24);
static_assert(offsetof(Parameters, discard_alignment) == 40);
static_assert(offsetof(Parameters, max_discard_segments) == 56);

// ---- commands to /dev/ublkcN

/// ublksrv_io_cmd: fits into a submission entry of 64 bytes.
struct IoCommand {
  std::uint16_t queue = 0;
  std::uint16_t tag = 0;
  std::int32_t result = 0;    ///< of kCommitAndFetch: bytes that were read or written, or -errno
  std::uint64_t address = 0;  ///< the buffer of the next request, where the driver copies
};
static_assert(sizeof(IoCommand) == 16);
static_assert(offsetof(IoCommand, address) == 8);

inline constexpr std::uint32_t kFetch = _IOWR('u', 0x20, IoCommand);
inline constexpr std::uint32_t kCommitAndFetch = _IOWR('u', 0x21, IoCommand);

/// What such a command ends with: a request has come, or none will (of this tag).
inline constexpr int kRequestHasCome = 0;
inline constexpr int kNoMoreRequests = -ENODEV;

// ---- requests

inline constexpr std::uint8_t kRead = 0;
inline constexpr std::uint8_t kWrite = 1;
inline constexpr std::uint8_t kFlush = 2;
inline constexpr std::uint8_t kDiscard = 3;
inline constexpr std::uint8_t kWriteZeroes = 5;

inline constexpr std::uint32_t kOperationMask = 0xff;
inline constexpr std::uint32_t kFua = 1U << 13U;
inline constexpr std::uint32_t kNoUnmap = 1U << 15U;

/// ublksrv_io_desc: in memory that the driver shares, one for each tag.
struct IoDescriptor {
  std::uint32_t operation_and_flags = 0;
  std::uint32_t sectors = 0;
  std::uint64_t first_sector = 0;
  std::uint64_t address = 0;
};
static_assert(sizeof(IoDescriptor) == 24);
static_assert(offsetof(IoDescriptor, first_sector) == 8);

/// Where the descriptors of a queue begin in /dev/ublkcN, to be mapped.
[[nodiscard]] constexpr std::uint64_t descriptors_at(std::uint16_t queue, std::uint64_t page_size) {
  const std::uint64_t bytes = kMaxDepth * sizeof(IoDescriptor);
  return queue * ((bytes + page_size - 1) / page_size * page_size);
}

/// Where byte `offset` of a request's data is in /dev/ublkcN, where the server copies.
[[nodiscard]] constexpr std::uint64_t data_at(std::uint16_t queue, std::uint16_t tag,
                                              std::uint32_t offset) {
  constexpr std::uint64_t kDataBegins = 0x8000'0000;
  return kDataBegins + (std::uint64_t{queue} << 41U | std::uint64_t{tag} << 25U | offset);
}
inline constexpr std::uint32_t kMaxIoBytes = 32U << 20U;

}  // namespace uvdo::ublk
