// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/kernel_ublk_driver.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>

#include "ublk/kernel_ublk_port.h"

namespace uvdo {
namespace {

constexpr const char* kControlPath = "/dev/ublk-control";
constexpr const char* kDevicesPath = "/sys/class/ublk-char";
constexpr std::string_view kDevicePrefix = "ublkc";
/// Commands under way at a time: those of some devices.
constexpr unsigned kCommands = 32;

/// A command under way, and who waits for it.
struct Call : UringLoop::Operation {
  explicit Call(Executor& executor) : alarm(executor) {
    complete = [](UringLoop::Operation& operation) {
      auto& call = static_cast<Call&>(operation);
      call.is_done = true;
      call.alarm.ring();
    };
  }
  Alarm alarm;
  bool is_done = false;
};

Error cannot_open(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return {Errc::not_found,
              "the kernel has no ublk driver: modprobe ublk_drv (Linux 6.5 or later, as root)"};
    case EACCES:
    case EPERM:
      return {Errc::io,
              "this user may not open /dev/ublk-control: run as root, or let the user read and "
              "write it, for devices that need no privilege"};
    default: return errno_error(error, "opening /dev/ublk-control");
  }
}

/// Names of the partitions that the kernel has found on a device: each keeps data of its own.
std::vector<std::string> partitions_of(std::uint32_t device) {
  const std::string disk = fmt::format("ublkb{}", device);
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/sys/block/" + disk, error), end;
       !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename();
    if (name.starts_with(disk + "p")) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace

Result<std::unique_ptr<KernelUblkDriver>> KernelUblkDriver::open(UringLoop& loop) {
  FileDescriptor control(::open(kControlPath, O_RDWR | O_CLOEXEC));
  if (!control) return cannot_open(errno);
  auto ring = SideRing::create(loop, kCommands, SideRing::EntrySize::wide);
  if (!ring) return std::move(ring).error();
  return std::unique_ptr<KernelUblkDriver>(
      new KernelUblkDriver(loop, std::move(control), std::move(*ring)));
}

KernelUblkDriver::~KernelUblkDriver() = default;

Task<void> KernelUblkDriver::close() { co_await ring_->close(); }

Task<int> KernelUblkDriver::control(std::uint32_t operation, const ublk::ControlCommand& command,
                                    Duration limit) {
  Call call(loop_);
  ring_->submit(call, [&](io_uring_sqe* sqe) {
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = control_.get();
    sqe->cmd_op = operation;
    std::memcpy(sqe->cmd, &command, sizeof command);
  });
  co_await call.alarm.sleep(limit);
  if (!call.is_done) {
    ring_->cancel(call);
    while (!call.is_done) co_await call.alarm.sleep(kNoLimit);
  }
  co_return call.result;
}

Result<std::unique_ptr<UblkPort>> KernelUblkDriver::open(const ublk::DeviceInfo& device,
                                                         UblkPort::Owner& owner) {
  auto port = KernelUblkPort::open(loop_, device, owner);
  if (!port) return std::move(port).error();
  return std::unique_ptr<UblkPort>(std::move(*port));
}

// All of these by a thread of io_uring, since they may wait for requests that this loop serves: to
// open a disk may mean to read from it, and a property is changed when no request is under way.
Task<int> KernelUblkDriver::open_late(std::string path, int flags) {
  const int fd = co_await loop_.perform([&](io_uring_sqe* sqe) {
    io_uring_prep_openat(sqe, AT_FDCWD, path.c_str(), flags | O_CLOEXEC, 0);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
  });
  co_return fd;
}

Task<void> KernelUblkDriver::close_late(int fd) {
  [[maybe_unused]] const int closed = co_await loop_.perform([&](io_uring_sqe* sqe) {
    io_uring_prep_close(sqe, fd);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
  });
}

Task<int> KernelUblkDriver::write_out(std::string path) {
  const int fd = co_await open_late(std::move(path), O_RDONLY);
  if (fd < 0) co_return fd;
  const int written = co_await loop_.perform([&](io_uring_sqe* sqe) {
    io_uring_prep_fsync(sqe, fd, 0);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
  });
  co_await close_late(fd);
  co_return written;
}

Task<int> KernelUblkDriver::write_out(std::uint32_t device) {
  const std::string disk = ublk_disk_path(device);
  const std::vector<std::string> partitions = partitions_of(device);
  int result = 0;
  for (const std::string& name : partitions) {
    auto partition = write_out("/dev/" + name);
    const int written = co_await std::move(partition);
    if (written < 0) result = written;
  }
  auto whole = write_out(disk);
  const int written = co_await std::move(whole);
  co_return written < 0 ? written : result;
}

Task<int> KernelUblkDriver::set_request_timeout(std::uint32_t device,
                                                std::chrono::milliseconds time) {
  auto opening = open_late(fmt::format("/sys/block/ublkb{}/queue/io_timeout", device), O_WRONLY);
  const int fd = co_await std::move(opening);
  if (fd < 0) co_return fd;
  const std::string text = std::to_string(time.count());
  const int written = co_await loop_.perform([&](io_uring_sqe* sqe) {
    io_uring_prep_write(sqe, fd, text.data(), static_cast<unsigned>(text.size()), 0);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
  });
  co_await close_late(fd);
  co_return std::min(written, 0);
}

Result<std::vector<std::uint32_t>> KernelUblkDriver::devices() {
  std::vector<std::uint32_t> numbers;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(kDevicesPath, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (!name.starts_with(kDevicePrefix)) continue;
    const char* first = name.data() + kDevicePrefix.size();
    const char* last = name.data() + name.size();
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(first, last, number);
    if (parsed.ec == std::errc() && parsed.ptr == last) numbers.push_back(number);
  }
  if (error)
    return errno_error(error.value(), fmt::format("looking for devices in {}", kDevicesPath));
  return numbers;
}

}  // namespace uvdo
