// SPDX-License-Identifier: GPL-2.0-or-later
// Where the data of an estimate come from, a piece at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

/// Bytes of a piece: what stays in a processor's cache while it is looked at.
inline constexpr std::size_t kPieceBytes = std::size_t{256} * 1024;

/// Neighbouring blocks of a piece that are of one group.
struct PieceSpan {
  std::uint32_t group = 0;
  std::uint32_t blocks = 0;
};

/// Some blocks, and who has them.
struct Piece {
  std::vector<PieceSpan> spans;  ///< in order; none: there are no more pieces
};

/// What is told of beside the data.
struct FeedEvents {
  /// A file or some of its blocks cannot be read; the sentence says which and why. They are left
  /// out.
  std::function<void(const std::string&)> problem = [](const std::string&) {};
  /// A group begins: a file or folder, whose number is the next one.
  std::function<std::uint32_t(const std::string& name)> group = [](const std::string&) {
    return std::uint32_t{0};
  };
  /// A file is counted.
  std::function<void(std::uint64_t bytes)> file = [](std::uint64_t) {};
  /// So many blocks are holes, which are not read.
  std::function<void(std::uint32_t group, std::uint64_t blocks)> hole = [](std::uint32_t,
                                                                           std::uint64_t) {};
};

class Feed {
 public:
  virtual ~Feed() = default;
  /// Puts the next piece, whole blocks, into `out`, which has kPieceBytes. Called by several
  /// threads at once. An error ends this feed.
  virtual Result<Piece> next(MutableBytes out) = 0;
  /// Bytes that it has, at most, as far as that is known before.
  [[nodiscard]] virtual std::uint64_t expected_bytes() const = 0;
};

enum class GroupBy : std::uint8_t { nothing, file, folder };

/// How a path is taken.
struct FeedOptions {
  GroupBy by = GroupBy::nothing;
  bool cross_file_systems = false;
  bool raw = false;  ///< the bytes of images, not their contents
  FeedEvents events;
};

/// What a path was taken for.
enum class SourceKind : std::uint8_t { file, device, folder, volume, qcow2, nbd, rbd };

struct OpenedFeed {
  std::unique_ptr<Feed> feed;
  SourceKind kind = SourceKind::file;
};

/// Opens a file, a folder, a block device, a VDO volume, a qcow2 image, or what a URI
/// (base/store_name.h) names. The events come while pieces are taken, one at a time.
Result<OpenedFeed> open_feed(const std::string& path, const FeedOptions& options);

}  // namespace uvdo
