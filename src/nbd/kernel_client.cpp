// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/kernel_client.h"

#include <array>
#include <cerrno>
#include <charconv>

#include <fmt/core.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

namespace uvdo {
namespace {

// The driver's list of all devices is the longest answer: 20 bytes a device.
constexpr std::size_t kLongestAnswer = std::size_t{256} << 10U;
constexpr std::uint8_t kControlVersion = 2;
// Of the minor numbers of Linux; each device has at least one.
constexpr std::uint32_t kLastIndex = (1U << 20U) - 1;

Error refused(int error, std::string_view what) {
  if (error == EPERM || error == EACCES) {
    return {Errc::invalid_argument,
            fmt::format("{}: only root may (CAP_SYS_ADMIN is needed)", what)};
  }
  return errno_error(error, what);
}

Error not_loaded() {
  return {Errc::not_found,
          "the kernel's NBD driver is not there: load it (modprobe nbd), or attach in another way"};
}

}  // namespace

Result<KernelNbdClient> KernelNbdClient::open() {
  FileDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (!socket) return errno_error(errno, "opening a netlink socket");
  // From here on the kernel, and nobody else, is who is asked and who answers.
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) != 0) {
    return errno_error(errno, "connecting a netlink socket to the kernel");
  }
  return over(std::move(socket));
}

Result<KernelNbdClient> KernelNbdClient::over(FileDescriptor socket) {
  KernelNbdClient client(std::move(socket));
  auto family = client.find_family();
  if (!family) return std::move(family).error();
  client.family_ = *family;
  return client;
}

Result<std::uint16_t> KernelNbdClient::find_family() {
  NetlinkWriter request(GENL_ID_CTRL, ++sequence_, CTRL_CMD_GETFAMILY, kControlVersion);
  request.text(CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME);
  std::optional<std::uint16_t> family;
  auto asked = ask(request, "asking for the NBD driver", [&](const NetlinkMessage& reply) {
    const NetlinkAttribute* id = reply.find(CTRL_ATTR_FAMILY_ID);
    if (id != nullptr) family = id->u16();
  });
  if (!asked) {
    if (asked.error().code() == Errc::not_found) return not_loaded();
    return std::move(asked).error();
  }
  if (!family || *family < NLMSG_MIN_TYPE) {
    return Error(Errc::protocol, "the kernel did not say how to reach its NBD driver");
  }
  return *family;
}

NetlinkWriter KernelNbdClient::command(std::uint8_t number) {
  return {family_, ++sequence_, number, NBD_GENL_VERSION};
}

NetlinkWriter KernelNbdClient::reconfigure(std::uint32_t index, const std::string& identifier) {
  NetlinkWriter request = command(NBD_CMD_RECONFIGURE);
  request.u32(NBD_ATTR_INDEX, index).text(NBD_ATTR_BACKEND_IDENTIFIER, identifier);
  return request;
}

namespace {

void put_socket(NetlinkWriter& request, int socket) {
  request.begin(NBD_ATTR_SOCKETS).begin(NBD_SOCK_ITEM);
  request.u32(NBD_SOCK_FD, static_cast<std::uint32_t>(socket)).end().end();
}

}  // namespace

Result<std::uint32_t> KernelNbdClient::connect(const KernelNbdSetup& setup) {
  NetlinkWriter request = command(NBD_CMD_CONNECT);
  if (setup.index) request.u32(NBD_ATTR_INDEX, *setup.index);
  request.u64(NBD_ATTR_SIZE_BYTES, setup.size);
  request.u64(NBD_ATTR_BLOCK_SIZE_BYTES, setup.block);
  // Without a limit the driver never takes a slow server for a dead one.
  request.u64(NBD_ATTR_TIMEOUT, 0);
  request.u64(NBD_ATTR_DEAD_CONN_TIMEOUT, static_cast<std::uint64_t>(setup.dead_limit.count()));
  request.u64(NBD_ATTR_SERVER_FLAGS, setup.flags);
  // The device node stays when it is disconnected, for others who use it by name.
  request.u64(NBD_ATTR_CLIENT_FLAGS, 0);
  request.text(NBD_ATTR_BACKEND_IDENTIFIER, setup.identifier);
  put_socket(request, setup.socket);

  std::optional<std::uint32_t> index;
  const std::string name = setup.index ? fmt::format("/dev/nbd{}", *setup.index) : "an NBD device";
  auto asked = ask(request, fmt::format("making {}", name), [&](const NetlinkMessage& reply) {
    const NetlinkAttribute* told = reply.find(NBD_ATTR_INDEX);
    if (reply.command == NBD_CMD_CONNECT && told != nullptr) index = told->u32();
  });
  if (!asked) {
    if (asked.error().code() != Errc::busy) return std::move(asked).error();
    return Error(Errc::busy, fmt::format("{} is in use by somebody else: name another, or none, "
                                         "and a free one is taken",
                                         name));
  }
  if (!index) return Error(Errc::protocol, "the kernel did not say which NBD device it has made");
  return *index;
}

Result<void> KernelNbdClient::reconnect(std::uint32_t index, const std::string& identifier,
                                        int socket) {
  NetlinkWriter request = reconfigure(index, identifier);
  put_socket(request, socket);
  return ask(request, fmt::format("reconnecting /dev/nbd{}", index));
}

Result<void> KernelNbdClient::resize(std::uint32_t index, const std::string& identifier,
                                     std::uint64_t size) {
  NetlinkWriter request = reconfigure(index, identifier);
  request.u64(NBD_ATTR_SIZE_BYTES, size);
  return ask(request, fmt::format("changing the size of /dev/nbd{}", index));
}

Result<void> KernelNbdClient::reset_request_limit(std::uint32_t index,
                                                  const std::string& identifier) {
  NetlinkWriter request = reconfigure(index, identifier);
  request.u64(NBD_ATTR_TIMEOUT, 0);
  return ask(request, fmt::format("resetting the request limit of /dev/nbd{}", index));
}

Result<void> KernelNbdClient::disconnect(std::uint32_t index) {
  NetlinkWriter request = command(NBD_CMD_DISCONNECT);
  request.u32(NBD_ATTR_INDEX, index);
  return ask(request, fmt::format("disconnecting /dev/nbd{}", index));
}

Result<std::vector<KernelNbdClient::Status>> KernelNbdClient::status() {
  std::optional<std::vector<Status>> devices;
  const auto take = [&](const NetlinkMessage& reply) {
    const NetlinkAttribute* list = reply.find(NBD_ATTR_DEVICE_LIST);
    if (reply.command != NBD_CMD_STATUS || list == nullptr) return;
    const auto items = decode_attributes(list->payload);
    if (!items) return;
    std::vector<Status> found;
    for (const NetlinkAttribute& item : *items) {
      if (item.type != NBD_DEVICE_ITEM) continue;
      const auto fields = decode_attributes(item.payload);
      if (!fields) return;
      std::optional<std::uint32_t> index;
      std::optional<std::uint8_t> connected;
      for (const NetlinkAttribute& field : *fields) {
        if (field.type == NBD_DEVICE_INDEX) index = field.u32();
        if (field.type == NBD_DEVICE_CONNECTED) connected = field.u8();
      }
      if (!index || !connected) return;
      found.push_back({*index, *connected != 0});
    }
    devices = std::move(found);
  };
  auto asked = ask(command(NBD_CMD_STATUS), "asking for the NBD devices", take);
  if (!asked) return std::move(asked).error();
  if (!devices) {
    return Error(Errc::protocol, "the kernel's list of NBD devices cannot be understood");
  }
  return std::move(*devices);
}

template <class Take>
Result<void> KernelNbdClient::ask(const NetlinkWriter& request, std::string_view what,
                                  Take&& take) {
  const std::vector<std::byte> bytes = request.bytes();
  ssize_t count = 0;
  do {
    count = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return errno_error(errno, what);

  std::vector<std::byte> answer(kLongestAnswer);
  for (;;) {
    count = recv(socket_.get(), answer.data(), answer.size(), MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error(errno, what);
    const auto size = static_cast<std::size_t>(count);
    const auto messages = size > answer.size() || size == 0
                              ? std::nullopt
                              : decode_netlink(ConstBytes(answer).first(size));
    if (!messages) {
      return Error(Errc::protocol, fmt::format("{}: the kernel's answer is malformed", what));
    }
    for (const NetlinkMessage& message : *messages) {
      if (message.sequence != sequence_) continue;  // of a request that was given up
      switch (message.kind) {
        case NetlinkMessage::Kind::acknowledged: return {};
        case NetlinkMessage::Kind::refused: return refused(message.error, what);
        case NetlinkMessage::Kind::reply: take(message); break;
        case NetlinkMessage::Kind::other: break;
      }
    }
  }
}

Result<void> KernelNbdClient::ask(const NetlinkWriter& request, std::string_view what) {
  return ask(request, what, [](const NetlinkMessage&) {});
}

Result<std::uint32_t> parse_kernel_nbd_name(std::string_view name) {
  std::string_view digits = name;
  if (digits.starts_with("/dev/")) digits.remove_prefix(5);
  std::uint32_t index = 0;
  if (digits.starts_with("nbd")) {
    digits.remove_prefix(3);
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, index);
    const bool has_zeros_before = digits.size() > 1 && digits.front() == '0';
    if (error == std::errc() && stop == end && !has_zeros_before && index <= kLastIndex)
      return index;
  }
  return Error(Errc::invalid_argument,
               fmt::format("{} is not the name of a device of the kernel's NBD driver, such as "
                           "/dev/nbd3",
                           name));
}

}  // namespace uvdo
