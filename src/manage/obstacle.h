// SPDX-License-Identifier: GPL-2.0-or-later
// What stands in the way of an operation where its caller can do something about it. Errors here
// name the obstacle; what to do about it depends on how the operation is asked for (by options of a
// command, keys of a request), so whoever asks has the words.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace uvdo {

/// Each kind is met by one operation.
struct Obstacle {
  enum class Kind : std::uint8_t {
    no_file,             ///< nothing is there, and no size was given for a new file
    not_a_file,          ///< a size was given, but what is there cannot be made anew
    file_exists,         ///< a size was given, but a file is there and is not to be overwritten
    holds_something,     ///< what is there holds something and is not to be overwritten
    too_small,           ///< there is no room for a volume: `slab_bits`
    too_much_memory,     ///< the volume could not be served on this machine
    cannot_preallocate,  ///< its file system has no way to do that
    no_file_to_preallocate,
    output_exists,        ///< of an export
    damaged_blocks,       ///< of an export, which is not to go on without them
    unreadable_metadata,  ///< of statistics, which cannot be had then
    damaged_map,          ///< of statistics, which lack something then
    needs_no_rebuild,     ///< the volume is fine
    would_lose_data,      ///< of a rebuild, which is not to accept that
  };
  Kind kind{};
  /// Of too_small: slabs of 2^N blocks with which it would fit, or, if `needed_bytes` is not 0, the
  /// smallest ones, with which it needs that many. 0: no slabs help.
  unsigned slab_bits = 0;
  std::uint64_t needed_bytes = 0;
};

/// What to do about an obstacle, in the words of who asks for the operation: the end of the error's
/// sentence, with the punctuation that leads to it. Empty: the obstacle is named, and no more said.
using Advise = std::function<std::string(const Obstacle&)>;

/// Of callers that decide by the code of the error.
inline std::string no_advice(const Obstacle& /*obstacle*/) { return {}; }

}  // namespace uvdo
