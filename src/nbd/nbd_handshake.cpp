// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/nbd_handshake.h"

#include <array>

#include <fmt/core.h>

namespace uvdo {

using nbd::Info;
using nbd::Option;
using nbd::OptionHeader;
using nbd::OptionReply;

namespace {

// Big-endian fields appended to a vector.
class WireBuilder {
 public:
  WireBuilder& be16(std::uint16_t v) {
    store_be16(extend(2), v);
    return *this;
  }
  WireBuilder& be32(std::uint32_t v) {
    store_be32(extend(4), v);
    return *this;
  }
  WireBuilder& be64(std::uint64_t v) {
    store_be64(extend(8), v);
    return *this;
  }
  WireBuilder& text(std::string_view v) {
    const ConstBytes bytes = std::as_bytes(std::span(v));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  [[nodiscard]] ConstBytes bytes() const { return bytes_; }

 private:
  std::byte* extend(std::size_t n) {
    bytes_.resize(bytes_.size() + n);
    return bytes_.data() + bytes_.size() - n;
  }
  std::vector<std::byte> bytes_;
};

constexpr std::size_t kPadding = 124;  // behind the answer to EXPORT_NAME

}  // namespace

Task<std::optional<NbdSession>> NbdHandshake::run() {
  const bool greeted = co_await greet();
  if (!greeted) co_return std::nullopt;
  for (unsigned count = 0; count < nbd::kMaxOptions; ++count) {
    const bool there = co_await channel_.need(nbd::kOptionHeaderSize);
    if (!there) co_return std::nullopt;
    const auto header = nbd::decode_option_header(channel_.available());
    if (!header) {
      close("the client sent something that is not an NBD option");
      co_return std::nullopt;
    }
    channel_.consume(nbd::kOptionHeaderSize);
    const Next next = co_await handle_option(*header);
    if (!out_.empty()) {
      const bool sent = co_await channel_.send(out_);
      out_.clear();
      if (!sent) co_return std::nullopt;
    }
    if (next == Next::close) co_return std::nullopt;
    if (next == Next::transmission) co_return session_;
  }
  close("the client sent options without end");
  co_return std::nullopt;
}

Task<bool> NbdHandshake::greet() {
  std::array<std::byte, nbd::kGreetingSize> greeting{};
  nbd::encode_greeting(greeting, nbd::kFlagFixedNewstyle | nbd::kFlagNoZeroes);
  const bool sent = co_await channel_.send(greeting);
  if (!sent) co_return false;
  const bool there = co_await channel_.need(nbd::kClientFlagsSize);
  if (!there) co_return false;
  const std::uint32_t flags = load_be32(channel_.available().data());
  channel_.consume(nbd::kClientFlagsSize);
  // A server must not go on with a client that relies on something it has not offered.
  constexpr std::uint32_t kKnown = nbd::kFlagFixedNewstyle | nbd::kFlagNoZeroes;
  if ((flags & ~kKnown) != 0) {
    close(fmt::format("the client set unknown handshake flags ({:#x})", flags));
    co_return false;
  }
  no_zeroes_ = (flags & nbd::kFlagNoZeroes) != 0;
  co_return true;
}

Task<NbdHandshake::Next> NbdHandshake::handle_option(OptionHeader header) {
  // EXPORT_NAME has no answer for errors; and what is longer than kMaxSkippedOption is not received
  // only to be thrown away.
  if (header.length > nbd::kMaxOption) {
    if (header.length > nbd::kMaxSkippedOption || header.option == Option::export_name) {
      co_return close(fmt::format("the client sent an option of {} bytes", header.length));
    }
    const bool skipped = co_await channel_.skip(header.length);
    if (!skipped) co_return Next::close;
    refuse(header.option, OptionReply::error_too_big, "the option is too long");
    co_return Next::option;
  }
  const bool there = co_await channel_.need(header.length);
  if (!there) co_return Next::close;
  if (header.option == Option::starttls) {
    const Next after_tls = co_await start_tls(header);
    co_return after_tls;
  }
  const ConstBytes data = channel_.available().first(header.length);
  const Next next = answer(header, data);
  channel_.consume(header.length);
  co_return next;
}

Task<NbdHandshake::Next> NbdHandshake::start_tls(OptionHeader header) {
  channel_.consume(header.length);
  if (header.length != 0) {
    refuse(header.option, OptionReply::error_invalid, "STARTTLS has no data");
    co_return Next::option;
  }
  if (tls_.upgrader == nullptr) {
    refuse(header.option, OptionReply::error_unsupported, "this server has no TLS");
    co_return Next::option;
  }
  if (channel_.is_encrypted()) {
    refuse(header.option, OptionReply::error_invalid, "TLS has been started already");
    co_return Next::option;
  }
  reply(header.option, OptionReply::ack);
  const bool sent = co_await channel_.send(out_);
  out_.clear();
  if (!sent) co_return Next::close;
  auto started = co_await channel_.start_tls(*tls_.upgrader);
  if (!started) co_return close(started.error().message());
  // What was said in the clear could have come from anybody.
  structured_replies_ = false;
  context_export_ = nullptr;
  co_return Next::option;
}

NbdHandshake::Next NbdHandshake::answer(OptionHeader header, ConstBytes data) {
  const Option option = header.option;
  if (option == Option::abort) {
    reply(option, OptionReply::ack);
    return Next::close;
  }
  // Before TLS a client that has to start it gets to know nothing of the exports: neither their
  // names nor whether one exists.
  const bool needs_tls = tls_.required && !channel_.is_encrypted();
  if (option == Option::export_name) {
    // EXPORT_NAME cannot be refused in words.
    if (needs_tls) return close("the client did not start TLS, which this server requires");
    return answer_export_name(data);
  }
  if (needs_tls) {
    refuse(option, OptionReply::error_tls_required, "this server requires TLS");
    return Next::option;
  }
  if (stopping_) {
    refuse(option, OptionReply::error_shutdown, "this server is stopping");
    return Next::option;
  }
  switch (option) {
    case Option::list: return answer_list(data);
    case Option::info:
    case Option::go: return answer_info(option, data);
    case Option::structured_reply: return answer_structured_reply(data);
    case Option::list_meta_context:
    case Option::set_meta_context: return answer_meta_context(option, data);
    case Option::export_name:
    case Option::abort:
    case Option::starttls: break;  // handled before
  }
  refuse(option, OptionReply::error_unsupported, "this option is not supported");
  return Next::option;
}

NbdHandshake::Next NbdHandshake::answer_export_name(ConstBytes data) {
  if (data.size() > nbd::kMaxString) return close("the client sent too long an export name");
  const std::string_view name(reinterpret_cast<const char*>(data.data()), data.size());
  const NbdExport* target = exports_.find(name);
  if (target == nullptr) {
    return close(fmt::format("the client asked for the unknown export \"{}\"", name));
  }
  if (stopping_) return close("this server is stopping");
  WireBuilder builder;
  // The old answer has no header: size, flags, and padding unless both sides go without.
  builder.be64(target->service->size()).be16(transmission_flags(*target));
  const ConstBytes bytes = builder.bytes();
  out_.insert(out_.end(), bytes.begin(), bytes.end());
  if (!no_zeroes_) out_.resize(out_.size() + kPadding);
  select(*target);
  return Next::transmission;
}

NbdHandshake::Next NbdHandshake::answer_list(ConstBytes data) {
  if (!data.empty()) {
    refuse(Option::list, OptionReply::error_invalid, "LIST has no data");
    return Next::option;
  }
  for (const NbdExport& entry : exports_.entries()) {
    WireBuilder builder;
    builder.be32(static_cast<std::uint32_t>(entry.name.size())).text(entry.name);
    builder.text(entry.description);
    reply(Option::list, OptionReply::server, builder.bytes());
  }
  reply(Option::list, OptionReply::ack);
  return Next::option;
}

NbdHandshake::Next NbdHandshake::answer_info(Option option, ConstBytes data) {
  const auto request = nbd::decode_info_request(data);
  if (!request) {
    refuse(option, OptionReply::error_invalid, "the option's data is malformed");
    return Next::option;
  }
  const NbdExport* target = exports_.find(request->name);
  if (target == nullptr) {
    refuse(option, OptionReply::error_unknown, "there is no export of this name");
    return Next::option;
  }
  WireBuilder size;
  size.be16(static_cast<std::uint16_t>(Info::export_)).be64(target->service->size());
  size.be16(transmission_flags(*target));
  reply(option, OptionReply::info, size.bytes());
  if (request->wants_name) {
    WireBuilder name;
    name.be16(static_cast<std::uint16_t>(Info::name)).text(target->name);
    reply(option, OptionReply::info, name.bytes());
  }
  if (request->wants_description && !target->description.empty()) {
    WireBuilder description;
    description.be16(static_cast<std::uint16_t>(Info::description)).text(target->description);
    reply(option, OptionReply::info, description.bytes());
  }
  WireBuilder sizes;
  sizes.be16(static_cast<std::uint16_t>(Info::block_size)).be32(target->minimum_block);
  sizes.be32(nbd::kPreferredBlock).be32(nbd::kMaxPayload);
  reply(option, OptionReply::info, sizes.bytes());
  reply(option, OptionReply::ack);
  if (option == Option::info) return Next::option;
  select(*target);
  return Next::transmission;
}

NbdHandshake::Next NbdHandshake::answer_structured_reply(ConstBytes data) {
  if (!data.empty()) {
    refuse(Option::structured_reply, OptionReply::error_invalid, "STRUCTURED_REPLY has no data");
    return Next::option;
  }
  structured_replies_ = true;
  reply(Option::structured_reply, OptionReply::ack);
  return Next::option;
}

NbdHandshake::Next NbdHandshake::answer_meta_context(Option option, ConstBytes data) {
  // Whatever was chosen before is void, even if this request fails.
  if (option == Option::set_meta_context) context_export_ = nullptr;
  if (!structured_replies_) {
    refuse(option, OptionReply::error_invalid, "structured replies must be negotiated first");
    return Next::option;
  }
  const auto request = nbd::decode_meta_context_request(data);
  if (!request) {
    refuse(option, OptionReply::error_invalid, "the option's data is malformed");
    return Next::option;
  }
  const NbdExport* target = exports_.find(request->name);
  if (target == nullptr) {
    refuse(option, OptionReply::error_unknown, "there is no export of this name");
    return Next::option;
  }
  // LIST without queries asks for all contexts, SET without queries for none; "base:" is a question
  // for a whole namespace, which only LIST knows. Queries for what we have not are passed over in
  // silence, as the protocol demands.
  bool wanted = option == Option::list_meta_context && request->queries.empty();
  for (const std::string_view query : request->queries) {
    wanted = wanted || query == nbd::kAllocationContext ||
             (option == Option::list_meta_context && query == "base:");
  }
  if (wanted) {
    WireBuilder context;
    const bool set = option == Option::set_meta_context;
    context.be32(set ? nbd::kAllocationContextId : 0).text(nbd::kAllocationContext);
    reply(option, OptionReply::meta_context, context.bytes());
    if (set) context_export_ = target;
  }
  reply(option, OptionReply::ack);
  return Next::option;
}

void NbdHandshake::reply(Option option, OptionReply type, ConstBytes data) {
  std::array<std::byte, nbd::kOptionReplyHeaderSize> header{};
  nbd::encode_option_reply(header, option, type, static_cast<std::uint32_t>(data.size()));
  out_.insert(out_.end(), header.begin(), header.end());
  out_.insert(out_.end(), data.begin(), data.end());
}

void NbdHandshake::refuse(Option option, OptionReply error, std::string_view why) {
  reply(option, error, std::as_bytes(std::span(why)));
}

NbdHandshake::Next NbdHandshake::close(std::string why) {
  reason_ = std::move(why);
  return Next::close;
}

std::uint16_t NbdHandshake::transmission_flags(const NbdExport& target) const {
  // Several connections may share an export: a flush covers what any of them was answered.
  unsigned flags =
      nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua | nbd::kCanMultiConn | nbd::kSendCache;
  if (structured_replies_) flags |= nbd::kSendDf;
  // Read-only at this moment: a client that comes before an error has made the volume read-only
  // keeps its flags, and its writes are answered with EIO.
  if (target.service->is_read_only()) {
    flags |= nbd::kReadOnly;
  } else {
    flags |= unsigned{nbd::kSendTrim} | nbd::kSendWriteZeroes | nbd::kSendFastZero;
  }
  return static_cast<std::uint16_t>(flags);
}

void NbdHandshake::select(const NbdExport& target) {
  session_.target = &target;
  session_.minimum_block = target.minimum_block;
  session_.structured_replies = structured_replies_;
  session_.allocation_context = context_export_ == &target;
}

}  // namespace uvdo
