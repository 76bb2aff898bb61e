// SPDX-License-Identifier: GPL-2.0-or-later
// Reading what can be read of something that is damaged in places.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

/// Fills `out` from byte `offset` on.
using ReadBytes = std::function<Result<void>(std::uint64_t offset, MutableBytes out)>;
/// Is told of neighbouring blocks that cannot be read, and why the first of them.
using TellUnread =
    std::function<void(std::uint64_t offset, std::uint64_t length, const Error& error)>;

/// Reads as many blocks as `out` has, from byte `offset` on, and puts those that can be read into
/// it, one behind the other. Returns the bytes of them. What fails as a whole is read again block
/// by block, so that one that is bad costs no others.
[[nodiscard]] std::size_t read_good_blocks(const ReadBytes& read, std::uint64_t offset,
                                           MutableBytes out, const TellUnread& unread);

/// The sentence for it.
[[nodiscard]] std::string unread_text(std::uint64_t offset, std::uint64_t length,
                                      const Error& error);

}  // namespace uvdo
