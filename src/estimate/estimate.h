// SPDX-License-Identifier: GPL-2.0-or-later
// What data would take as a volume: they are read, and zeros, duplicates and fragments are counted
// as the engine would store them, with nothing written.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "estimate/feed.h"
#include "estimate/name_table.h"

namespace uvdo {

struct EstimateOptions {
  std::vector<std::string> paths;
  GroupBy by = GroupBy::nothing;
  bool cross_file_systems = false;
  bool raw = false;
  bool compression = true;
  IndexWindow window;        ///< by default the index forgets nothing
  std::uint64_t memory = 0;  ///< bytes that may be taken, at least kLeastMemory
  double share = 1;          ///< of the data, that is compressed; above 0, at most 1
  unsigned threads = 1;
  /// A file or block that could not be read; called by one thread at a time.
  std::function<void(const std::string&)> problem = [](const std::string&) {};
  /// What a path was taken for, before anything is read.
  std::function<void(const std::string& path, SourceKind kind)> opened = [](const std::string&,
                                                                            SourceKind) {};
  /// Called ten times a second.
  std::function<void(std::uint64_t done_bytes, std::uint64_t all_bytes)> progress =
      [](std::uint64_t, std::uint64_t) {};

  static constexpr std::uint64_t kLeastMemory = std::uint64_t{16} << 20U;
};

/// Blocks, by what becomes of them. But for those that are zero they are extrapolated where not all
/// names were looked at.
struct BlockCounts {
  std::uint64_t data = 0;       ///< all but holes
  std::uint64_t holes = 0;      ///< of sparse files, not read
  std::uint64_t zero = 0;       ///< of `data`, nothing but zeros
  std::uint64_t duplicate = 0;  ///< of `data`, stored already
  std::uint64_t whole = 0;      ///< of `data`, stored uncompressed
  std::uint64_t fragments = 0;  ///< of `data`, stored compressed
  std::uint64_t fragment_bytes = 0;
};

struct EstimatedGroup {
  std::string name;
  BlockCounts counts;
  /// What is stored first of all for it; what others have stored before is theirs.
  std::uint64_t stored_bytes = 0;
};

struct Estimate {
  std::uint64_t files = 0;
  std::uint64_t file_bytes = 0;  ///< as long as they are
  std::uint64_t problems = 0;    ///< files and blocks that could not be read
  BlockCounts counts;
  std::uint64_t compressed_blocks = 0;  ///< physical blocks that the fragments share
  std::uint64_t stored_blocks = 0;      ///< physical blocks for all data
  std::uint64_t index_records = 0;      ///< that the index would be told of
  double share = 1;                     ///< of the data, that was compressed
  double names_share = 1;               ///< of all names, that the memory had room for
  std::uint64_t margin_blocks = 0;      ///< of stored_blocks, at 95 %; 0 if nothing was guessed
  bool table_was_full = false;          ///< the data have grown: some duplicates were not seen
  std::vector<EstimatedGroup> groups;
};

/// Reads all paths. An error: a path cannot be read at all, or there is too little memory.
Result<Estimate> estimate(const EstimateOptions& options);

}  // namespace uvdo
