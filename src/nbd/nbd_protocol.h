// SPDX-License-Identifier: GPL-2.0-or-later
// The NBD protocol's numbers and wire structures, as pure encode and decode (big-endian). The
// protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md. Nothing here does
// I/O; decoders take any bytes and answer with a value or nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo::nbd {

/// Magic numbers: every message begins with one, so that a peer that has lost its place in the
/// stream is noticed at the next message.
inline constexpr std::uint64_t kGreetingMagic = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr std::uint64_t kOptionMagic = 0x49484156454f5054;    // "IHAVEOPT"
inline constexpr std::uint64_t kOptionReplyMagic = 0x0003e889045565a9;
inline constexpr std::uint32_t kRequestMagic = 0x25609513;
inline constexpr std::uint32_t kSimpleReplyMagic = 0x67446698;
inline constexpr std::uint32_t kStructuredReplyMagic = 0x668e33ef;

/// Bytes of the fixed structures.
inline constexpr std::size_t kGreetingSize = 18;
inline constexpr std::size_t kClientFlagsSize = 4;
inline constexpr std::size_t kOptionHeaderSize = 16;
inline constexpr std::size_t kOptionReplyHeaderSize = 20;
inline constexpr std::size_t kRequestSize = 28;
inline constexpr std::size_t kSimpleReplySize = 16;
inline constexpr std::size_t kStructuredReplySize = 20;

/// The longest string of the protocol, bytes.
inline constexpr std::size_t kMaxString = 4096;
/// The largest payload of a request or reply that this server takes, as nbdkit's.
inline constexpr std::uint32_t kMaxPayload = 64U << 20U;
/// The longest read that is held in memory as a whole before it is answered, so that an error can
/// be told in place of the data. The data of a longer one are sent while they are read.
inline constexpr std::uint32_t kMaxGathered = 32U << 20U;
inline constexpr std::uint32_t kMinimumBlock = 1;
inline constexpr std::uint32_t kPreferredBlock = 4096;
/// Options longer than this are answered with "too big"; beyond kMaxSkippedOption the connection
/// is closed instead of reading all that.
inline constexpr std::uint32_t kMaxOption = 64U << 10U;
inline constexpr std::uint32_t kMaxSkippedOption = 1U << 20U;
inline constexpr unsigned kMaxOptions = 1000;

// Flags of the handshake (server's 16 bits, client's 32 bits).
inline constexpr std::uint16_t kFlagFixedNewstyle = 1U << 0U;
inline constexpr std::uint16_t kFlagNoZeroes = 1U << 1U;

/// What a client asks for in the handshake. Any other number comes through decode_option_header()
/// as it is and is answered with error_unsupported.
enum class Option : std::uint32_t {
  export_name = 1,
  abort = 2,
  list = 3,
  starttls = 5,
  info = 6,
  go = 7,
  structured_reply = 8,
  list_meta_context = 9,
  set_meta_context = 10,
};

/// How options are answered; the numbers with the highest bit set end an option with an error.
enum class OptionReply : std::uint32_t {
  ack = 1,
  server = 2,
  info = 3,
  meta_context = 4,
  error_unsupported = 0x80000001,
  error_policy = 0x80000002,
  error_invalid = 0x80000003,
  error_tls_required = 0x80000005,
  error_unknown = 0x80000006,
  error_shutdown = 0x80000007,
  error_too_big = 0x80000009,
};

/// The kinds of information in an answer to INFO and GO. export_ and block_size are sent without
/// being asked for.
enum class Info : std::uint16_t { export_ = 0, name = 1, description = 2, block_size = 3 };

// Transmission flags of an export.
inline constexpr std::uint16_t kHasFlags = 1U << 0U;
inline constexpr std::uint16_t kReadOnly = 1U << 1U;
inline constexpr std::uint16_t kSendFlush = 1U << 2U;
inline constexpr std::uint16_t kSendFua = 1U << 3U;
inline constexpr std::uint16_t kSendTrim = 1U << 5U;
inline constexpr std::uint16_t kSendWriteZeroes = 1U << 6U;
inline constexpr std::uint16_t kSendDf = 1U << 7U;
inline constexpr std::uint16_t kCanMultiConn = 1U << 8U;
inline constexpr std::uint16_t kSendCache = 1U << 10U;
inline constexpr std::uint16_t kSendFastZero = 1U << 11U;

/// What a client asks for after the handshake. As with options, unknown numbers are possible
/// values: judge() refuses them.
enum class Command : std::uint16_t {
  read = 0,
  write = 1,
  disconnect = 2,
  flush = 3,
  trim = 4,
  cache = 5,
  write_zeroes = 6,
  block_status = 7,
};

// Flags of a request.
inline constexpr std::uint16_t kFua = 1U << 0U;
inline constexpr std::uint16_t kNoHole = 1U << 1U;
inline constexpr std::uint16_t kDf = 1U << 2U;
inline constexpr std::uint16_t kReqOne = 1U << 3U;
inline constexpr std::uint16_t kFastZero = 1U << 4U;

/// The kinds of chunks of a structured reply; the highest bit marks errors.
enum class ChunkType : std::uint16_t {
  none = 0,
  offset_data = 1,
  offset_hole = 2,
  block_status = 5,
  error = 0x8001,
  error_offset = 0x8002,
};
/// On the last chunk of a reply: the cookie is free for another request then.
inline constexpr std::uint16_t kChunkDone = 1U << 0U;

// States of base:allocation.
inline constexpr std::uint32_t kStateHole = 1U << 0U;
inline constexpr std::uint32_t kStateZero = 1U << 1U;
inline constexpr std::string_view kAllocationContext = "base:allocation";
/// The number by which chunks name base:allocation. The server chooses it; one context needs only
/// one.
inline constexpr std::uint32_t kAllocationContextId = 1;

/// The protocol's error numbers (those of Linux, fixed for every system).
enum class WireError : std::uint32_t {
  none = 0,
  eperm = 1,
  eio = 5,
  enomem = 12,
  einval = 22,
  enospc = 28,
  eoverflow = 75,
  enotsup = 95,
  eshutdown = 108,
};
/// What a client is told about an error of the volume. Errors that the protocol has no number for
/// become EIO.
[[nodiscard]] WireError wire_error_of(Errc code);

struct OptionHeader {
  Option option{};
  std::uint32_t length = 0;
};
/// Nothing if the magic is wrong. `bytes`: kOptionHeaderSize.
[[nodiscard]] std::optional<OptionHeader> decode_option_header(ConstBytes bytes);

/// A request without its payload. `cookie` is the client's own: it comes back in the reply, which
/// may overtake those of earlier requests.
struct RequestHeader {
  std::uint16_t flags = 0;
  Command command{};
  std::uint64_t cookie = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
};
/// Nothing if the magic is wrong. `bytes`: kRequestSize.
[[nodiscard]] std::optional<RequestHeader> decode_request(ConstBytes bytes);
/// The client's side, for tests and benchmarks. `out`: kRequestSize or more.
void encode_request(MutableBytes out, const RequestHeader& request);

/// Data of NBD_OPT_INFO and NBD_OPT_GO. Views into the option's bytes.
struct InfoRequest {
  std::string_view name;
  bool wants_name = false;
  bool wants_description = false;
};
/// Nothing if a length leads beyond the data, bytes are left over, or the name is longer than
/// kMaxString.
[[nodiscard]] std::optional<InfoRequest> decode_info_request(ConstBytes data);

/// Data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT.
struct MetaContextRequest {
  std::string_view name;
  std::vector<std::string_view> queries;
};
/// Nothing for the same reasons. It takes no more memory than the data would fill with empty
/// queries.
[[nodiscard]] std::optional<MetaContextRequest> decode_meta_context_request(ConstBytes data);

// Headers; what follows them is the caller's to append. `length`: bytes of that. `out`: at least
// the size of the structure (kGreetingSize and its neighbours above).
void encode_greeting(MutableBytes out, std::uint16_t flags);
void encode_option_reply(MutableBytes out, Option option, OptionReply type, std::uint32_t length);
void encode_simple_reply(MutableBytes out, WireError error, std::uint64_t cookie);
void encode_chunk(MutableBytes out, ChunkType type, bool done, std::uint64_t cookie,
                  std::uint32_t length);

/// What the server decides about a request before it touches the volume.
enum class Verdict : std::uint8_t {
  serve,
  refuse,   ///< answer with `error` (after reading a write's payload)
  hang_up,  ///< the stream cannot be followed any further
};
struct Judgement {
  Verdict verdict = Verdict::serve;
  WireError error = WireError::none;
  std::string_view reason{};  ///< for people; static
};
/// What judge() has to know of the export and of what this client has negotiated.
struct ExportState {
  std::uint64_t size = 0;
  bool read_only = false;
  bool structured_replies = false;
  bool allocation_context = false;
  std::uint32_t minimum_block = kMinimumBlock;  ///< a power of two
};
/// The one place where a request is held against the protocol and the export. A request that gets
/// Verdict::serve has only flags that its command knows, needs nothing that was not negotiated, and
/// its range, if its command has one, lies within the export as it was when `state` was made.
[[nodiscard]] Judgement judge(const RequestHeader& request, const ExportState& state);

/// Big-endian fields one after the other; once the bytes run out, ok() is false for good.
class WireReader {
 public:
  explicit WireReader(ConstBytes bytes) : bytes_(bytes) {}
  std::uint16_t be16() { return take(2) ? load_be16(last_) : std::uint16_t{0}; }
  std::uint32_t be32() { return take(4) ? load_be32(last_) : 0; }
  std::uint64_t be64() { return take(8) ? load_be64(last_) : 0; }
  /// `length` bytes as text.
  std::string_view text(std::size_t length) {
    if (!take(length)) return {};
    return {reinterpret_cast<const char*>(last_), length};
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t remaining() const { return bytes_.size(); }
  /// Whether all was read, and nothing was missing.
  [[nodiscard]] bool finished() const { return ok_ && bytes_.empty(); }

 private:
  bool take(std::size_t n) {
    if (!ok_ || n > bytes_.size()) return ok_ = false;
    last_ = bytes_.data();
    bytes_ = bytes_.subspan(n);
    return true;
  }
  ConstBytes bytes_;
  const std::byte* last_ = nullptr;
  bool ok_ = true;
};

}  // namespace uvdo::nbd
