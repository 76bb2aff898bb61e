// SPDX-License-Identifier: GPL-2.0-or-later
// Messages of generic netlink, by which drivers of Linux are configured: a header, a command and
// attributes, in the machine's byte order (linux/netlink.h, linux/genetlink.h). Pure: bytes in,
// values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace uvdo {

/// One message in the making.
class NetlinkWriter {
 public:
  /// `type` is the family that it goes to, `command` and `version` are the family's own. The
  /// kernel acknowledges it.
  NetlinkWriter(std::uint16_t type, std::uint32_t sequence, std::uint8_t command,
                std::uint8_t version);

  NetlinkWriter& u32(std::uint16_t attribute, std::uint32_t value);
  NetlinkWriter& u64(std::uint16_t attribute, std::uint64_t value);
  NetlinkWriter& raw(std::uint16_t attribute, ConstBytes payload);
  /// With the zero behind it that the kernel expects.
  NetlinkWriter& text(std::uint16_t attribute, std::string_view value);
  /// What is written until the matching end() is inside of `attribute`.
  NetlinkWriter& begin(std::uint16_t attribute);
  NetlinkWriter& end();

  /// The message; every begin() has had its end().
  [[nodiscard]] std::vector<std::byte> bytes() const;

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::size_t> open_;  // where the attributes begin that have no end yet
};

/// An attribute that was received; a view into the message.
struct NetlinkAttribute {
  std::uint16_t type = 0;
  ConstBytes payload{};

  [[nodiscard]] std::optional<std::uint8_t> u8() const;
  [[nodiscard]] std::optional<std::uint16_t> u16() const;
  [[nodiscard]] std::optional<std::uint32_t> u32() const;
};

/// The attributes in `bytes`, one after the other; nothing if they are malformed.
[[nodiscard]] std::optional<std::vector<NetlinkAttribute>> decode_attributes(ConstBytes bytes);

/// A message that was received.
struct NetlinkMessage {
  enum class Kind : std::uint8_t {
    reply,         ///< of a family: a command and attributes
    acknowledged,  ///< the request was carried out
    refused,       ///< it was not: `error`
    other,         ///< nothing of these
  };
  Kind kind = Kind::other;
  std::uint16_t type = 0;      ///< the family
  std::uint32_t sequence = 0;  ///< that of the request
  int error = 0;               ///< an errno, positive
  std::uint8_t command = 0;
  std::vector<NetlinkAttribute> attributes{};  ///< views into the bytes

  /// The first of that type.
  [[nodiscard]] const NetlinkAttribute* find(std::uint16_t attribute) const;
};

/// The messages of one datagram; nothing if they are malformed.
[[nodiscard]] std::optional<std::vector<NetlinkMessage>> decode_netlink(ConstBytes datagram);

}  // namespace uvdo
