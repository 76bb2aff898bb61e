// SPDX-License-Identifier: GPL-2.0-or-later
// The control commands about block devices of this machine: "attach", "detach" and "devices".
#pragma once

#include <array>

#include "control/message.h"

namespace uvdo {

/// How a volume becomes a block device of this machine.
enum class DeviceKind : std::uint8_t {
  ublk,  ///< Linux's driver for block devices of user space: /dev/ublkbN
  nbd,   ///< the kernel's NBD client: /dev/nbdN
  fuse,  ///< a file in a FUSE mount with a loop device on it: /dev/loopN
  file,  ///< such a file alone, for who may not make block devices
};
inline constexpr std::array kDeviceKinds{DeviceKind::ublk, DeviceKind::nbd, DeviceKind::fuse,
                                         DeviceKind::file};

[[nodiscard]] constexpr std::string_view name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::ublk: return "ublk";
    case DeviceKind::nbd: return "nbd";
    case DeviceKind::fuse: return "fuse";
    case DeviceKind::file: return "file";
  }
  return "unknown";
}

[[nodiscard]] constexpr std::optional<DeviceKind> device_kind_of(std::string_view name) {
  for (const DeviceKind kind : kDeviceKinds) {
    if (name == name_of(kind)) return kind;
  }
  return std::nullopt;
}

template <>
struct JsonCodec<DeviceKind> {
  static Json write(DeviceKind kind) { return std::string(name_of(kind)); }
  static std::optional<DeviceKind> read(const Json& json) {
    return json.is_string() ? device_kind_of(json.get<std::string>()) : std::nullopt;
  }
};

/// A device as it was made.
struct AttachedDevice {
  std::string name;  ///< unique among the devices of the machine
  DeviceKind kind{};
  std::string path;           ///< what users open: "/dev/ublkb0"
  std::string link{};         ///< a name that stays the same, "/dev/uvdo/NAME"; may be empty
  std::string mapper_link{};  ///< "/dev/mapper/NAME", where mapped devices are; mostly empty
  bool read_only = false;
  std::uint64_t offset = 0;             ///< bytes of the logical space before it
  std::optional<std::uint64_t> size{};  ///< bytes; none: up to the volume's end
  std::uint64_t block_size = 512;       ///< bytes of a logical block
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("name", self.name);
    v.required("kind", self.kind);
    v.required("path", self.path);
    v.value("link", self.link);
    v.value("mapper_link", self.mapper_link);
    v.value("read_only", self.read_only);
    v.value("offset", self.offset);
    v.optional("size", self.size);
    v.value("block_size", self.block_size);
  }
};

struct AttachRequest {
  static constexpr std::string_view kCommand = "attach";
  using Answer = AttachedDevice;
  std::optional<DeviceKind> kind{};  ///< none: the first of kDeviceKinds that can be had
  std::string name{};                ///< of the device; empty: made of the volume's
  bool read_only = false;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> size{};
  std::uint64_t block_size = 512;
  std::string at{};  ///< for a file: the folder to mount it in; empty: one of the server's own
  std::string
      mapper_name{};  ///< also link it as this in /dev/mapper, if nothing there is called so
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.optional("kind", self.kind, "is ublk, nbd, fuse or file");
    v.value("name", self.name, "is a text");
    v.value("read_only", self.read_only, "is true or false");
    v.value("offset", self.offset, "is a number of bytes");
    v.optional("size", self.size, "is a number of bytes");
    v.value("block_size", self.block_size, "is 512 or 4096");
    v.value("at", self.at, "is a path");
    v.value("mapper_name", self.mapper_name, "is a text");
  }
  [[nodiscard]] Result<void> check() const {
    if (block_size == 512 || block_size == 4096) return {};
    return Error(Errc::invalid_argument, "\"block_size\" is 512 or 4096");
  }
};

struct DetachAnswer {
  bool is_gone = true;       ///< false: it goes when nobody uses it any more
  bool server_ends = false;  ///< that was the last device of a server that ends with it
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("is_gone", self.is_gone);
    v.value("server_ends", self.server_ends);
  }
};

/// What becomes of a device that somebody uses.
enum class DetachMode : std::uint8_t {
  unused,  ///< it stays, and that is an error
  force,   ///< whoever uses it gets errors from now on
  lazy,    ///< it goes when nobody uses it any more
};
inline constexpr std::array kDetachModes{DetachMode::unused, DetachMode::force, DetachMode::lazy};

[[nodiscard]] constexpr std::string_view name_of(DetachMode mode) {
  switch (mode) {
    case DetachMode::unused: return "unused";
    case DetachMode::force: return "force";
    case DetachMode::lazy: return "lazy";
  }
  return "unknown";
}

template <>
struct JsonCodec<DetachMode> {
  static Json write(DetachMode mode) { return std::string(name_of(mode)); }
  static std::optional<DetachMode> read(const Json& json) {
    if (!json.is_string()) return std::nullopt;
    const auto found = std::ranges::find(kDetachModes, json.get<std::string>(),
                                         [](DetachMode mode) { return name_of(mode); });
    return found == kDetachModes.end() ? std::nullopt : std::optional(*found);
  }
};

struct DetachRequest {
  static constexpr std::string_view kCommand = "detach";
  using Answer = DetachAnswer;
  std::string device{};  ///< its name, path or link
  DetachMode mode = DetachMode::unused;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("device", self.device, "is a device's name or path");
    v.value("mode", self.mode, "is unused, force or lazy");
  }
};

/// A way in for clients, as of "devices".
struct FrontEndEntry {
  std::string kind;     ///< "NBD"
  std::string address;  ///< "unix:/run/x"
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("kind", self.kind);
    v.required("address", self.address);
  }
};

/// A client of a front end.
struct ClientEntry {
  std::string kind;    ///< of the front end
  std::string origin;  ///< "tcp:10.0.0.3:52114", "process 4711"
  bool encrypted = false;
  std::uint64_t connected_ms = 0;
  std::uint64_t requests = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("kind", self.kind);
    v.required("origin", self.origin);
    v.value("encrypted", self.encrypted);
    v.value("connected_ms", self.connected_ms);
    v.value("requests", self.requests);
    v.value("read_bytes", self.read_bytes);
    v.value("written_bytes", self.written_bytes);
  }
};

struct DevicesAnswer {
  /// More connections are counted, and not listed.
  static constexpr std::size_t kMostConnections = 64;
  std::vector<AttachedDevice> devices{};
  std::vector<FrontEndEntry> front_ends{};  ///< those that are no devices of this machine
  std::uint64_t clients = 0;                ///< of all
  std::vector<ClientEntry> connections{};   ///< those of the front ends
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("devices", self.devices);
    v.value("front_ends", self.front_ends);
    v.value("clients", self.clients);
    v.value("connections", self.connections);
  }
};

struct DevicesRequest : NoParameters {
  static constexpr std::string_view kCommand = "devices";
  using Answer = DevicesAnswer;
};

}  // namespace uvdo
