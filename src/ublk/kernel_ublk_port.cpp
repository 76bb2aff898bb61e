// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/kernel_ublk_port.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

namespace uvdo {
namespace {

std::uint64_t page_size() { return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)); }

Error cannot_open(int error, const std::string& path) {
  switch (error) {
    case EACCES:
    case EPERM:
      return {Errc::io, fmt::format("this user may not open {}: let its owner be the user "
                                    "who makes the device (a rule of udev)",
                                    path)};
    case EBUSY: return {Errc::busy, fmt::format("another process serves {}", path)};
    default: return errno_error(error, fmt::format("opening {}", path));
  }
}

}  // namespace

class KernelUblkPort::Descriptors {
 public:
  Descriptors() = default;
  Descriptors(Descriptors&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), bytes_(other.bytes_) {}
  Descriptors& operator=(Descriptors&&) = delete;
  ~Descriptors() {
    if (at_ != nullptr) munmap(at_, bytes_);
  }
  /// False, and errno, if the driver refuses.
  bool map(int fd, std::uint16_t queue, std::uint16_t depth) {
    const std::uint64_t page = page_size();
    bytes_ = (depth * sizeof(ublk::IoDescriptor) + page - 1) / page * page;
    void* at = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd,
                    static_cast<off_t>(ublk::descriptors_at(queue, page)));
    if (at == MAP_FAILED) return false;
    at_ = at;
    return true;
  }
  [[nodiscard]] ublk::IoDescriptor operator[](std::uint16_t tag) const {
    ublk::IoDescriptor copy;
    std::memcpy(&copy, static_cast<const std::byte*>(at_) + tag * sizeof copy, sizeof copy);
    return copy;
  }

 private:
  void* at_ = nullptr;
  std::size_t bytes_ = 0;
};

KernelUblkPort::KernelUblkPort(const ublk::DeviceInfo& device, Owner& owner)
    : owner_(owner),
      depth_(device.depth),
      descriptors_(device.queues),
      commands_(std::size_t{device.queues} * device.depth) {
  std::size_t i = 0;
  for (Command& each : commands_) {
    each.port = this;
    each.slot = {static_cast<std::uint16_t>(i / depth_), static_cast<std::uint16_t>(i % depth_)};
    each.complete = [](UringLoop::Operation& operation) {
      const auto& done = static_cast<const Command&>(operation);
      done.port->on_complete(done);
    };
    ++i;
  }
}

KernelUblkPort::~KernelUblkPort() { check(ring_ == nullptr, "a port is closed before it goes"); }

Result<std::unique_ptr<KernelUblkPort>> KernelUblkPort::open(UringLoop& loop,
                                                             const ublk::DeviceInfo& device,
                                                             Owner& owner) {
  const std::string path = ublk_port_path(device.device);
  std::unique_ptr<KernelUblkPort> port(new KernelUblkPort(device, owner));
  port->file_ = FileDescriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!port->file_) return cannot_open(errno, path);
  for (std::uint16_t queue = 0; queue < device.queues; ++queue) {
    if (!port->descriptors_[queue].map(port->file_.get(), queue, device.depth)) {
      return errno_error(errno, fmt::format("mapping the requests of {}", path));
    }
  }
  auto ring = SideRing::create(loop, static_cast<unsigned>(port->commands_.size()),
                               SideRing::EntrySize::usual);
  if (!ring) return std::move(ring).error();
  port->ring_ = std::move(*ring);
  return port;
}

void KernelUblkPort::send(std::uint32_t operation, UblkSlot slot, std::int32_t result,
                          std::byte* buffer) {
  const ublk::IoCommand told{slot.queue, slot.tag, result, reinterpret_cast<std::uint64_t>(buffer)};
  ring_->submit(command(slot), [&](io_uring_sqe* sqe) {
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = file_.get();
    sqe->cmd_op = operation;
    std::memcpy(sqe->cmd, &told, sizeof told);
  });
}

void KernelUblkPort::fetch(UblkSlot slot, std::byte* buffer) {
  send(ublk::kFetch, slot, 0, buffer);
}

void KernelUblkPort::commit(UblkSlot slot, std::int32_t result, std::byte* buffer) {
  send(ublk::kCommitAndFetch, slot, result, buffer);
}

ublk::IoDescriptor KernelUblkPort::request(UblkSlot slot) const {
  return descriptors_[slot.queue][slot.tag];
}

void KernelUblkPort::on_complete(const Command& command) {
  if (command.result == ublk::kRequestHasCome) {
    owner_.on_request(command.slot);
  } else {
    owner_.on_retired(command.slot, command.result < 0 ? command.result : -EPROTO);
  }
}

// The driver copies in the call itself: it never waits. io_uring would give it to another thread,
// since the file is none that it knows not to wait.
Result<void> KernelUblkPort::take_data(UblkSlot slot, std::uint32_t offset, MutableBytes out) {
  const auto at = static_cast<off_t>(ublk::data_at(slot.queue, slot.tag, offset));
  const ssize_t copied = pread(file_.get(), out.data(), out.size(), at);
  if (copied == static_cast<ssize_t>(out.size())) return {};
  return errno_error(copied < 0 ? errno : EIO, "taking the data of a write from the ublk driver");
}

Result<void> KernelUblkPort::give_data(UblkSlot slot, std::uint32_t offset, ConstBytes data) {
  const auto at = static_cast<off_t>(ublk::data_at(slot.queue, slot.tag, offset));
  const ssize_t copied = pwrite(file_.get(), data.data(), data.size(), at);
  if (copied == static_cast<ssize_t>(data.size())) return {};
  return errno_error(copied < 0 ? errno : EIO, "giving the data of a read to the ublk driver");
}

Task<void> KernelUblkPort::close() {
  co_await ring_->close();
  ring_.reset();
  descriptors_.clear();
  file_ = FileDescriptor();
}

// Where the server copies, the kernel has nothing of this process's memory.
Task<void> KernelUblkPort::keep_until_exit() {
  co_await ring_->keep_until_exit();
  ring_.reset();
  descriptors_.clear();
  [[maybe_unused]] const int kept = file_.release();
}

}  // namespace uvdo
