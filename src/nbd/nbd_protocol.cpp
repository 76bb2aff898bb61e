// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/nbd_protocol.h"

#include "block/client_errno.h"

namespace uvdo::nbd {

WireError wire_error_of(Errc code) {
  // The protocol has no EROFS, and EPERM only for exports that are read-only on purpose.
  switch (client_errno(code)) {
    case ENOSPC: return WireError::enospc;
    case EINVAL: return WireError::einval;
    case ENOMEM: return WireError::enomem;
    case EOPNOTSUPP: return WireError::enotsup;
    case ESHUTDOWN: return WireError::eshutdown;
    default: return WireError::eio;
  }
}

std::optional<OptionHeader> decode_option_header(ConstBytes bytes) {
  WireReader reader(bytes);
  if (reader.be64() != kOptionMagic) return std::nullopt;
  OptionHeader header;
  header.option = static_cast<Option>(reader.be32());
  header.length = reader.be32();
  if (!reader.ok()) return std::nullopt;
  return header;
}

std::optional<RequestHeader> decode_request(ConstBytes bytes) {
  if (bytes.size() < kRequestSize || load_be32(bytes.data()) != kRequestMagic) return std::nullopt;
  RequestHeader request;
  request.flags = load_be16(bytes.data() + 4);
  request.command = static_cast<Command>(load_be16(bytes.data() + 6));
  request.cookie = load_be64(bytes.data() + 8);
  request.offset = load_be64(bytes.data() + 16);
  request.length = load_be32(bytes.data() + 24);
  return request;
}

void encode_request(MutableBytes out, const RequestHeader& request) {
  check(out.size() >= kRequestSize, "room for a request");
  store_be32(out.data(), kRequestMagic);
  store_be16(out.data() + 4, request.flags);
  store_be16(out.data() + 6, static_cast<std::uint16_t>(request.command));
  store_be64(out.data() + 8, request.cookie);
  store_be64(out.data() + 16, request.offset);
  store_be32(out.data() + 24, request.length);
}

// The reader notes that bytes have run out and goes on with zeros, so that one look at its end
// serves for all fields.
std::optional<InfoRequest> decode_info_request(ConstBytes data) {
  WireReader reader(data);
  InfoRequest request;
  const std::uint32_t name_length = reader.be32();
  if (name_length > kMaxString) return std::nullopt;
  request.name = reader.text(name_length);
  const std::uint16_t count = reader.be16();
  for (unsigned i = 0; i < count && reader.ok(); ++i) {
    switch (static_cast<Info>(reader.be16())) {
      case Info::name: request.wants_name = true; break;
      case Info::description: request.wants_description = true; break;
      case Info::export_:
      case Info::block_size: break;  // sent to everybody
    }
  }
  if (!reader.finished()) return std::nullopt;
  return request;
}

std::optional<MetaContextRequest> decode_meta_context_request(ConstBytes data) {
  WireReader reader(data);
  MetaContextRequest request;
  const std::uint32_t name_length = reader.be32();
  if (name_length > kMaxString) return std::nullopt;
  request.name = reader.text(name_length);
  const std::uint32_t count = reader.be32();
  // Each query takes at least its length, so that `count` cannot make us reserve memory.
  if (!reader.ok() || count > reader.remaining() / 4) return std::nullopt;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t length = reader.be32();
    if (length > kMaxString) return std::nullopt;
    request.queries.push_back(reader.text(length));
    if (!reader.ok()) return std::nullopt;
  }
  if (!reader.finished()) return std::nullopt;
  return request;
}

void encode_greeting(MutableBytes out, std::uint16_t flags) {
  check(out.size() >= kGreetingSize, "room for the greeting");
  store_be64(out.data(), kGreetingMagic);
  store_be64(out.data() + 8, kOptionMagic);
  store_be16(out.data() + 16, flags);
}

void encode_option_reply(MutableBytes out, Option option, OptionReply type, std::uint32_t length) {
  check(out.size() >= kOptionReplyHeaderSize, "room for an option reply");
  store_be64(out.data(), kOptionReplyMagic);
  store_be32(out.data() + 8, static_cast<std::uint32_t>(option));
  store_be32(out.data() + 12, static_cast<std::uint32_t>(type));
  store_be32(out.data() + 16, length);
}

void encode_simple_reply(MutableBytes out, WireError error, std::uint64_t cookie) {
  check(out.size() >= kSimpleReplySize, "room for a reply");
  store_be32(out.data(), kSimpleReplyMagic);
  store_be32(out.data() + 4, static_cast<std::uint32_t>(error));
  store_be64(out.data() + 8, cookie);
}

void encode_chunk(MutableBytes out, ChunkType type, bool done, std::uint64_t cookie,
                  std::uint32_t length) {
  check(out.size() >= kStructuredReplySize, "room for a chunk");
  store_be32(out.data(), kStructuredReplyMagic);
  store_be16(out.data() + 4, done ? kChunkDone : std::uint16_t{0});
  store_be16(out.data() + 6, static_cast<std::uint16_t>(type));
  store_be64(out.data() + 8, cookie);
  store_be32(out.data() + 16, length);
}

namespace {

Judgement refuse(WireError error, std::string_view reason) {
  return {Verdict::refuse, error, reason};
}

std::uint16_t flags_allowed(Command command) {
  // FUA is allowed everywhere; it has no meaning where nothing is written.
  switch (command) {
    case Command::read: return kFua | kDf;
    case Command::write_zeroes: return kFua | kNoHole | kFastZero;
    case Command::block_status: return kFua | kReqOne;
    case Command::write:
    case Command::disconnect:
    case Command::flush:
    case Command::trim:
    case Command::cache: return kFua;
  }
  return kFua;
}

// `needs_room`: of writes beyond the end the protocol wants ENOSPC, of all else EINVAL. The
// comparison cannot overflow: `offset` is at most `size` when the second half is looked at.
Judgement judge_range(const RequestHeader& request, const ExportState& state, bool needs_room) {
  if (((request.offset | request.length) & (state.minimum_block - 1)) != 0) {
    return refuse(WireError::einval, "the range is no multiple of the smallest block size");
  }
  if (request.offset > state.size || request.length > state.size - request.offset) {
    return refuse(needs_room ? WireError::enospc : WireError::einval,
                  "the range ends beyond the end of the export");
  }
  return {};
}

Judgement judge_command(const RequestHeader& request, const ExportState& state) {
  switch (request.command) {
    case Command::read:
      if ((request.flags & kDf) != 0 && !state.structured_replies) {
        return refuse(WireError::einval, "the DF flag needs structured replies");
      }
      if (request.length == 0) return refuse(WireError::einval, "a read of no bytes");
      if ((request.flags & kDf) != 0 && request.length > kMaxGathered) {
        return refuse(WireError::eoverflow, "a read in one piece (DF) is at most 32 MiB long");
      }
      if (request.length > kMaxPayload) {
        return refuse(WireError::einval, "a read is at most 64 MiB long");
      }
      return judge_range(request, state, false);
    case Command::write:
    case Command::write_zeroes:
      // Read-only comes before the range: a client that may not write at all is told that.
      if (state.read_only) return refuse(WireError::eperm, "the export is read-only");
      return judge_range(request, state, true);
    case Command::trim:
      if (state.read_only) return refuse(WireError::eperm, "the export is read-only");
      return judge_range(request, state, false);
    case Command::cache: return judge_range(request, state, false);
    case Command::block_status:
      if (!state.structured_replies || !state.allocation_context) {
        return refuse(WireError::einval, "no metadata context was negotiated");
      }
      if (request.length == 0) return refuse(WireError::einval, "a block status of no bytes");
      return judge_range(request, state, false);
    case Command::flush:
      if (request.offset != 0 || request.length != 0) {
        return refuse(WireError::einval, "a flush has no offset and no length");
      }
      return {};
    case Command::disconnect: return {};
  }
  return refuse(WireError::einval, "an unknown command");
}

}  // namespace

Judgement judge(const RequestHeader& request, const ExportState& state) {
  // Nobody means to send that much: to skip it would tie up the connection for a mistake.
  if (request.command == Command::write && request.length > kMaxPayload) {
    return {Verdict::hang_up, WireError::einval, "a write is at most 64 MiB long"};
  }
  // A flag that is not understood could change what the request means: it is refused and not
  // ignored.
  if ((request.flags & ~flags_allowed(request.command)) != 0) {
    return refuse(WireError::einval, "a flag that the command does not have");
  }
  return judge_command(request, state);
}

}  // namespace uvdo::nbd
