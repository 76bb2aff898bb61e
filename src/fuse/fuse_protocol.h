// SPDX-License-Identifier: GPL-2.0-or-later
// The messages between the kernel and a file system in user space, as far as a folder with one file
// needs them. Their layouts and numbers are those of <linux/fuse.h>; newer numbers are named here
// with the kernel that has brought them. All is in the machine's byte order.
//
// A message is decoded as a whole before anything of it is believed: that it is as long as it says,
// that the body has room for what its kind needs, that a name ends within it.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include <linux/fuse.h>

#include "base/bytes.h"

namespace uvdo::fuse {

inline constexpr std::uint64_t kRootNode = FUSE_ROOT_ID;
inline constexpr std::uint64_t kFileNode = kRootNode + 1;

/// Pages of one request: the most that kernels grant where nobody has raised
/// fs.fuse.max_pages_limit.
inline constexpr std::uint32_t kMostPages = 256;
inline constexpr std::uint32_t kPageSize = 4096;
/// Bytes of the data of one read or write.
inline constexpr std::uint32_t kMostData = kMostPages * kPageSize;
/// What stands before the data of a write.
inline constexpr std::size_t kWriteHead = sizeof(fuse_in_header) + sizeof(fuse_write_in);

/// Linux 5.10 and later; io_uring demands a newer one anyway.
inline constexpr std::uint32_t kLeastMinor = 31;
inline constexpr std::uint32_t kOurMinor = FUSE_KERNEL_MINOR_VERSION;

// Of <linux/fuse.h>, Linux 6.9: the kernel sends again what was not answered, when it is told to.
inline constexpr std::uint64_t kHasResend = std::uint64_t{1} << 39U;
inline constexpr std::int32_t kNotifyResend = 7;

/// One message of the kernel. Refers to the memory that it was received in.
struct Request {
  fuse_in_header header{};
  ConstBytes body;

  [[nodiscard]] std::uint32_t opcode() const { return header.opcode; }
  /// The structure that the body begins with; nothing if it is too short for that.
  template <class T>
  [[nodiscard]] std::optional<T> head() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (body.size() < sizeof(T)) return std::nullopt;
    T value{};
    std::memcpy(&value, body.data(), sizeof value);
    return value;
  }
  /// The name that the body begins with; nothing if it does not end within the body.
  [[nodiscard]] std::optional<std::string_view> name() const;
};

/// Nothing if `message` is not one whole request.
[[nodiscard]] std::optional<Request> decode_request(ConstBytes message);

/// Whether a request changes the folder, which nobody may: making, removing and renaming.
[[nodiscard]] bool changes_folder(std::uint32_t opcode);

/// A bit of the handle of an open file: it was opened with O_SYNC or O_DSYNC. The handle has all
/// that is to be known of it, so that another process can go on with it.
inline constexpr std::uint64_t kSyncHandle = 1;

/// What both sides have agreed on.
struct Agreement {
  std::uint32_t minor = kOurMinor;  ///< of protocol 7
  bool can_resend = false;          ///< the kernel knows FUSE_NOTIFY_RESEND
};

struct Greeting {
  fuse_init_out answer{};
  Agreement agreement;
};
/// The answer to a kernel that speaks protocol 7. `most_requests`: those that it may have under way
/// in the background.
[[nodiscard]] Greeting greet(const fuse_init_in& offer, std::uint32_t most_requests);

/// The flags of both words of an offer or an answer.
[[nodiscard]] constexpr std::uint64_t flags_of(std::uint32_t low, std::uint32_t high) {
  return (low & FUSE_INIT_EXT) != 0 ? low | (std::uint64_t{high} << 32U) : low;
}

}  // namespace uvdo::fuse
