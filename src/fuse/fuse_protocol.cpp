// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_protocol.h"

#include <algorithm>
#include <limits>

namespace uvdo::fuse {
namespace {

// What is taken of what a kernel offers. No cache of written data: what was answered is the
// volume's. Nobody asks for attributes on account of set-user-id bits, which the file never has.
constexpr std::uint64_t kWanted = std::uint64_t{FUSE_ASYNC_READ} | FUSE_BIG_WRITES |
                                  FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                                  FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT | kHasResend;

}  // namespace

std::optional<std::string_view> Request::name() const {
  const void* const end = std::memchr(body.data(), 0, body.size());
  if (end == nullptr) return std::nullopt;
  const auto* const first = reinterpret_cast<const char*>(body.data());
  return std::string_view(first, static_cast<const char*>(end));
}

std::optional<Request> decode_request(ConstBytes message) {
  Request request;
  if (message.size() < sizeof request.header) return std::nullopt;
  std::memcpy(&request.header, message.data(), sizeof request.header);
  if (request.header.len != message.size()) return std::nullopt;
  request.body = message.subspan(sizeof request.header);
  return request;
}

bool changes_folder(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_LINK:
    case FUSE_CREATE:
    case FUSE_TMPFILE: return true;
    default: return false;
  }
}

Greeting greet(const fuse_init_in& offer, std::uint32_t most_requests) {
  Greeting greeting;
  const std::uint64_t offered = flags_of(offer.flags, offer.flags2);
  const std::uint64_t taken = offered & kWanted;
  greeting.agreement.minor = std::min(offer.minor, kOurMinor);
  greeting.agreement.can_resend = (offered & kHasResend) != 0;

  fuse_init_out& answer = greeting.answer;
  answer.major = FUSE_KERNEL_VERSION;
  answer.minor = kOurMinor;
  answer.max_readahead = std::min(offer.max_readahead, kMostData);
  answer.flags = static_cast<std::uint32_t>(taken);
  answer.flags2 = static_cast<std::uint32_t>(taken >> 32U);
  const auto background = static_cast<std::uint16_t>(
      std::min<std::uint32_t>(most_requests, std::numeric_limits<std::uint16_t>::max()));
  answer.max_background = background;
  answer.congestion_threshold = background;
  answer.max_write = kMostData;
  answer.time_gran = 1;
  answer.max_pages = kMostPages;
  return greeting;
}

}  // namespace uvdo::fuse
