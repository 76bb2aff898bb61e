// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's NBD client for tests, as far as those see it who configure it: it answers generic
// netlink in threads, and keeps devices, whose sockets the test talks over as a client. /sys and
// /dev are folders of the test.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/testing/temporary_folder.h"
#include "nbd/kernel_client.h"
#include "nbd/kernel_nbd_folder.h"
#include "nbd/nbd_protocol.h"

namespace uvdo::testing {

class FakeKernel {
 public:
  static constexpr std::uint16_t kFamily = 0x23;

  struct Device {
    FileDescriptor socket;
    std::string identifier;
    std::uint64_t size = 0;
    std::uint64_t block = 0;
    std::uint64_t flags = 0;
    std::uint64_t dead_limit = 0;
    unsigned sockets = 0;       ///< so many it has been given
    unsigned limits_reset = 0;  ///< so often its request limit was
  };

  FakeKernel() { std::filesystem::create_directories(udev()); }
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  /// Like KernelNbdClient::open().
  Result<KernelNbdClient> open() {
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
      return errno_error(errno, "making a pair of sockets");
    }
    {
      const std::lock_guard lock(mutex_);
      threads_.emplace_back([this, end = ends[1]] { answer(FileDescriptor(end)); });
    }
    return KernelNbdClient::over(FileDescriptor(ends[0]));
  }
  [[nodiscard]] KernelNbdFolder folder() const {
    return KernelNbdFolder(folder_.path() + "/sys", folder_.path() + "/dev", udev());
  }
  void unload_driver() { is_loaded_ = false; }

  /// What the device is now; its socket stays here.
  [[nodiscard]] bool has(std::uint32_t index) {
    const std::lock_guard lock(mutex_);
    return devices_.contains(index);
  }
  template <class Look>
  auto look(std::uint32_t index, Look&& at) {
    const std::lock_guard lock(mutex_);
    return at(devices_.at(index));
  }
  [[nodiscard]] std::string told(std::uint32_t index, const std::string& file) const {
    std::ifstream in(system(index) + "/" + file);
    std::string text;
    std::getline(in, text);
    return text;
  }

 private:
  [[nodiscard]] std::string udev() const { return folder_.path() + "/udev"; }
  [[nodiscard]] std::string system(std::uint32_t index) const {
    return folder_.path() + "/sys/nbd" + std::to_string(index);
  }
  [[nodiscard]] std::string node(std::uint32_t index) const {
    return folder_.path() + "/dev/nbd" + std::to_string(index);
  }

  void answer(const FileDescriptor& socket) {
    std::vector<std::byte> bytes(65536);
    for (;;) {
      const ssize_t count = recv(socket.get(), bytes.data(), bytes.size(), 0);
      if (count <= 0) return;
      const auto requests =
          decode_netlink(ConstBytes(bytes).first(static_cast<std::size_t>(count)));
      if (!requests || requests->size() != 1) return;
      const NetlinkMessage& request = requests->front();
      NetlinkWriter reply(request.type, request.sequence, request.command, 1);
      const int error = carry_out(request, reply);
      const bool has_reply = error == 0 && reply.bytes().size() > NLMSG_HDRLEN + GENL_HDRLEN;
      if (has_reply) send_bytes(socket.get(), reply.bytes());
      acknowledge(socket.get(), request.sequence, error);
    }
  }
  static void send_bytes(int socket, ConstBytes bytes) {
    check(send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0, "the answer was sent");
  }
  static void acknowledge(int socket, std::uint32_t sequence, int error) {
    struct {
      nlmsghdr header;
      nlmsgerr body;
    } message{};
    message.header.nlmsg_len = sizeof message;
    message.header.nlmsg_type = NLMSG_ERROR;
    message.header.nlmsg_seq = sequence;
    message.body.error = -error;
    send_bytes(socket, std::as_bytes(std::span(&message, 1)));
  }

  // An errno, or 0 and what is said in `reply`.
  int carry_out(const NetlinkMessage& request, NetlinkWriter& reply) {
    if (request.type == GENL_ID_CTRL) {
      if (!is_loaded_) return ENOENT;
      const std::uint16_t id = kFamily;
      reply.raw(CTRL_ATTR_FAMILY_ID, std::as_bytes(std::span(&id, 1)));
      return 0;
    }
    if (request.type != kFamily) return EOPNOTSUPP;
    const std::lock_guard lock(mutex_);
    switch (request.command) {
      case NBD_CMD_CONNECT: return connect(request, reply);
      case NBD_CMD_RECONFIGURE: return reconfigure(request);
      case NBD_CMD_DISCONNECT: return disconnect(*request.find(NBD_ATTR_INDEX)->u32());
      case NBD_CMD_STATUS: return status(reply);
      default: return EOPNOTSUPP;
    }
  }
  static std::uint64_t number(const NetlinkMessage& request, std::uint16_t attribute) {
    std::uint64_t value = 0;
    const NetlinkAttribute* found = request.find(attribute);
    check(found != nullptr && found->payload.size() == sizeof value, "a number of 64 bits");
    std::memcpy(&value, found->payload.data(), sizeof value);
    return value;
  }
  static std::string text(const NetlinkMessage& request, std::uint16_t attribute) {
    const NetlinkAttribute* found = request.find(attribute);
    check(found != nullptr && !found->payload.empty(), "a text");
    return {reinterpret_cast<const char*>(found->payload.data()), found->payload.size() - 1};
  }
  // The driver takes a reference of its own.
  static FileDescriptor socket_of(const NetlinkMessage& request) {
    const auto items = decode_attributes(request.find(NBD_ATTR_SOCKETS)->payload);
    check(items && items->size() == 1 && items->front().type == NBD_SOCK_ITEM, "a socket");
    const auto fields = decode_attributes(items->front().payload);
    check(fields && fields->size() == 1 && fields->front().type == NBD_SOCK_FD, "its descriptor");
    return FileDescriptor(fcntl(static_cast<int>(*fields->front().u32()), F_DUPFD_CLOEXEC, 0));
  }
  void tell(std::uint32_t index, const std::string& file, const std::string& line) const {
    std::ofstream(system(index) + "/" + file) << line << "\n";
  }
  void tell_size(std::uint32_t index) {
    tell(index, "size", std::to_string(devices_.at(index).size / 512));
  }

  int connect(const NetlinkMessage& request, NetlinkWriter& reply) {
    std::uint32_t index = 0;
    while (devices_.contains(index)) ++index;
    if (request.find(NBD_ATTR_INDEX) != nullptr) index = *request.find(NBD_ATTR_INDEX)->u32();
    if (devices_.contains(index)) return EBUSY;
    Device device;
    device.socket = socket_of(request);
    device.identifier = text(request, NBD_ATTR_BACKEND_IDENTIFIER);
    device.size = number(request, NBD_ATTR_SIZE_BYTES);
    device.block = number(request, NBD_ATTR_BLOCK_SIZE_BYTES);
    device.flags = number(request, NBD_ATTR_SERVER_FLAGS);
    device.dead_limit = number(request, NBD_ATTR_DEAD_CONN_TIMEOUT);
    device.sockets = 1;
    check(number(request, NBD_ATTR_TIMEOUT) == 0, "a slow server is not taken for a dead one");
    const std::string identifier = device.identifier;
    devices_.emplace(index, std::move(device));
    std::filesystem::create_directories(system(index) + "/queue");
    std::filesystem::create_directories(folder_.path() + "/dev");
    tell(index, "backend", identifier);
    tell(index, "queue/io_timeout", "30000");
    tell_size(index);
    std::ofstream(node(index)) << "";
    reply.u32(NBD_ATTR_INDEX, index);
    return 0;
  }
  int reconfigure(const NetlinkMessage& request) {
    const auto found = devices_.find(*request.find(NBD_ATTR_INDEX)->u32());
    if (found == devices_.end()) return EINVAL;
    Device& device = found->second;
    if (text(request, NBD_ATTR_BACKEND_IDENTIFIER) != device.identifier) return EINVAL;
    if (request.find(NBD_ATTR_SIZE_BYTES) != nullptr) {
      device.size = number(request, NBD_ATTR_SIZE_BYTES);
      tell_size(found->first);
    }
    if (request.find(NBD_ATTR_TIMEOUT) != nullptr) ++device.limits_reset;
    if (request.find(NBD_ATTR_SOCKETS) == nullptr) return 0;
    pollfd state{device.socket.get(), POLLRDHUP, 0};
    if (poll(&state, 1, 0) == 0) return 0;  // it is alive, and another is not wanted
    device.socket = socket_of(request);
    ++device.sockets;
    return 0;
  }
  int disconnect(std::uint32_t index) {
    const auto found = devices_.find(index);
    if (found == devices_.end()) return 0;
    std::vector<std::byte> goodbye(nbd::kRequestSize);
    nbd::encode_request(goodbye, {.command = nbd::Command::disconnect});
    send(found->second.socket.get(), goodbye.data(), goodbye.size(), MSG_NOSIGNAL);
    devices_.erase(found);
    std::filesystem::remove_all(system(index));
    return 0;
  }
  int status(NetlinkWriter& reply) {
    reply.begin(NBD_ATTR_DEVICE_LIST);
    for (const auto& [index, device] : devices_) {
      const std::uint8_t connected = 1;
      reply.begin(NBD_DEVICE_ITEM).u32(NBD_DEVICE_INDEX, index);
      reply.raw(NBD_DEVICE_CONNECTED, std::as_bytes(std::span(&connected, 1))).end();
    }
    reply.end();
    return 0;
  }

  TemporaryFolder folder_;
  std::atomic<bool> is_loaded_ = true;
  std::mutex mutex_;  // protects what follows
  std::map<std::uint32_t, Device> devices_;
  std::vector<std::jthread> threads_;
};

}  // namespace uvdo::testing
