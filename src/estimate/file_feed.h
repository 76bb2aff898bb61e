// SPDX-License-Identifier: GPL-2.0-or-later
// Files, one after the other, as a file system would store them: whole blocks, zeros behind the
// end, holes left out, a file of several names once.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fts.h>

#include "base/file_descriptor.h"
#include "estimate/feed.h"

namespace uvdo {

/// The files of a folder, in the order in which the system has them, or a single file or block
/// device.
class FileFeed final : public Feed {
 public:
  /// Looks at all of the folder once for its size. An error: there is no such file.
  static Result<std::unique_ptr<Feed>> open(const std::string& path, const FeedOptions& options);

  Result<Piece> next(MutableBytes out) override;
  [[nodiscard]] std::uint64_t expected_bytes() const override { return expected_; }

 private:
  struct CloseTree {
    void operator()(FTS* tree) const { fts_close(tree); }
  };
  using Tree = std::unique_ptr<FTS, CloseTree>;
  struct OpenFile {
    std::string path;
    FileDescriptor fd;
    std::uint64_t size = 0;
    std::uint32_t group = 0;
  };
  /// A part of a file that goes into a piece.
  struct Part {
    std::shared_ptr<const OpenFile> file;
    std::uint64_t offset = 0;
    std::size_t length = 0;
  };

  FileFeed(std::string path, const FeedOptions& options)
      : path_(std::move(path)), options_(options) {}
  Result<Tree> open_tree();
  /// The next file to be counted; null at the end. `report`: problems are told.
  FTSENT* next_entry(FTS& tree, bool report);
  FTSENT* next_of_tree(FTS& tree, bool report);
  void count_all(FTS& tree);
  /// Makes the next file the open one. False at the end.
  bool open_next();
  /// Moves on to the next data of the open file, whose last block ends at `end`, and finds their
  /// end.
  void find_data(std::uint64_t end);
  /// The next part of the open file with at most `room` bytes; nothing at its end.
  std::optional<Part> next_part(std::size_t room);
  void plan(std::vector<Part>& parts);
  /// Reads what can be read of a part to the begin of `out`, and tells of the rest.
  std::size_t read_part(const Part& part, MutableBytes out);
  void report_problem(const std::string& what, int error);

  std::string path_;
  FeedOptions options_;
  std::uint64_t expected_ = 0;

  // Of the thread that plans.
  std::mutex mutex_;
  Tree tree_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> linked_;  // files of several names
  std::shared_ptr<const OpenFile> file_;
  std::uint64_t offset_ = 0;
  std::uint64_t data_end_ = 0;               // of the run of data in which offset_ lies
  std::optional<std::uint32_t> root_group_;  // of what lies in the folder itself
  std::uint32_t folder_group_ = 0;
};

}  // namespace uvdo
