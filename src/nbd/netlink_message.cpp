// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/netlink_message.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "base/check.h"

namespace uvdo {
namespace {

// Headers, attributes and what follows them begin at multiples of four bytes.
constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

constexpr std::size_t kHeader = sizeof(nlmsghdr);
constexpr std::size_t kFamilyHeader = sizeof(genlmsghdr);
constexpr std::size_t kAttributeHeader = sizeof(nlattr);
static_assert(kHeader == 16 && kFamilyHeader == 4 && kAttributeHeader == 4);

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const ConstBytes raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

/// A value at the start of `bytes`, of any alignment; the caller has seen to their size.
template <class T>
T load(ConstBytes bytes) {
  T value;
  check(bytes.size() >= sizeof value, "the bytes of a value are there");
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <class T>
std::optional<T> number(ConstBytes payload) {
  if (payload.size() != sizeof(T)) return std::nullopt;
  return load<T>(payload);
}

}  // namespace

NetlinkWriter::NetlinkWriter(std::uint16_t type, std::uint32_t sequence, std::uint8_t command,
                             std::uint8_t version) {
  nlmsghdr header{};  // its length is set at the end
  header.nlmsg_type = type;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  header.nlmsg_seq = sequence;
  append(bytes_, header);
  genlmsghdr family{};
  family.cmd = command;
  family.version = version;
  append(bytes_, family);
}

NetlinkWriter& NetlinkWriter::raw(std::uint16_t attribute, ConstBytes payload) {
  const std::size_t length = kAttributeHeader + payload.size();
  check(length <= std::numeric_limits<std::uint16_t>::max(), "an attribute has a short length");
  append(bytes_, nlattr{static_cast<std::uint16_t>(length), attribute});
  bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  bytes_.resize(aligned(bytes_.size()));
  return *this;
}

NetlinkWriter& NetlinkWriter::u32(std::uint16_t attribute, std::uint32_t value) {
  return raw(attribute, std::as_bytes(std::span(&value, 1)));
}

NetlinkWriter& NetlinkWriter::u64(std::uint16_t attribute, std::uint64_t value) {
  return raw(attribute, std::as_bytes(std::span(&value, 1)));
}

NetlinkWriter& NetlinkWriter::text(std::uint16_t attribute, std::string_view value) {
  const std::string ended(value);
  return raw(attribute, std::as_bytes(std::span(ended.c_str(), ended.size() + 1)));
}

NetlinkWriter& NetlinkWriter::begin(std::uint16_t attribute) {
  open_.push_back(bytes_.size());
  return raw(static_cast<std::uint16_t>(attribute | NLA_F_NESTED), {});
}

NetlinkWriter& NetlinkWriter::end() {
  check(!open_.empty(), "an attribute that was begun is ended");
  const std::size_t at = open_.back();
  open_.pop_back();
  const std::size_t length = bytes_.size() - at;
  check(length <= std::numeric_limits<std::uint16_t>::max(), "an attribute has a short length");
  const auto value = static_cast<std::uint16_t>(length);
  std::memcpy(bytes_.data() + at, &value, sizeof value);
  return *this;
}

std::vector<std::byte> NetlinkWriter::bytes() const {
  check(open_.empty(), "every attribute that was begun has ended");
  std::vector<std::byte> message = bytes_;
  const auto length = static_cast<std::uint32_t>(message.size());
  std::memcpy(message.data(), &length, sizeof length);
  return message;
}

std::optional<std::uint8_t> NetlinkAttribute::u8() const { return number<std::uint8_t>(payload); }
std::optional<std::uint16_t> NetlinkAttribute::u16() const {
  return number<std::uint16_t>(payload);
}
std::optional<std::uint32_t> NetlinkAttribute::u32() const {
  return number<std::uint32_t>(payload);
}

std::optional<std::vector<NetlinkAttribute>> decode_attributes(ConstBytes bytes) {
  std::vector<NetlinkAttribute> attributes;
  while (!bytes.empty()) {
    if (bytes.size() < kAttributeHeader) return std::nullopt;
    const auto header = load<nlattr>(bytes);
    if (header.nla_len < kAttributeHeader || header.nla_len > bytes.size()) return std::nullopt;
    attributes.push_back({static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
                          bytes.first(header.nla_len).subspan(kAttributeHeader)});
    // The padding behind the last one may be missing.
    bytes = bytes.subspan(std::min(aligned(header.nla_len), bytes.size()));
  }
  return attributes;
}

const NetlinkAttribute* NetlinkMessage::find(std::uint16_t attribute) const {
  const auto found = std::ranges::find_if(
      attributes, [&](const NetlinkAttribute& one) { return one.type == attribute; });
  return found == attributes.end() ? nullptr : &*found;
}

namespace {

std::optional<NetlinkMessage> decode_message(const nlmsghdr& header, ConstBytes payload) {
  NetlinkMessage message;
  message.type = header.nlmsg_type;
  message.sequence = header.nlmsg_seq;
  if (header.nlmsg_type == NLMSG_ERROR) {
    const auto told = payload.size() < sizeof(std::int32_t)
                          ? std::nullopt
                          : number<std::int32_t>(payload.first(sizeof(std::int32_t)));
    if (!told || *told > 0 || *told == std::numeric_limits<std::int32_t>::min()) {
      return std::nullopt;
    }
    message.kind = *told == 0 ? NetlinkMessage::Kind::acknowledged : NetlinkMessage::Kind::refused;
    message.error = -*told;
    return message;
  }
  if (header.nlmsg_type < NLMSG_MIN_TYPE) return message;
  if (payload.size() < kFamilyHeader) return std::nullopt;
  auto attributes = decode_attributes(payload.subspan(kFamilyHeader));
  if (!attributes) return std::nullopt;
  message.kind = NetlinkMessage::Kind::reply;
  message.command = load<genlmsghdr>(payload).cmd;
  message.attributes = std::move(*attributes);
  return message;
}

}  // namespace

std::optional<std::vector<NetlinkMessage>> decode_netlink(ConstBytes datagram) {
  std::vector<NetlinkMessage> messages;
  while (!datagram.empty()) {
    if (datagram.size() < kHeader) return std::nullopt;
    const auto header = load<nlmsghdr>(datagram);
    if (header.nlmsg_len < kHeader || header.nlmsg_len > datagram.size()) return std::nullopt;
    auto message = decode_message(header, datagram.first(header.nlmsg_len).subspan(kHeader));
    if (!message) return std::nullopt;
    messages.push_back(std::move(*message));
    datagram = datagram.subspan(std::min(aligned(header.nlmsg_len), datagram.size()));
  }
  return messages;
}

}  // namespace uvdo
