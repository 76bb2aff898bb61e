// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/file_feed.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block_types.h"
#include "device/backing_file.h"
#include "estimate/data_runs.h"
#include "estimate/read_blocks.h"

namespace uvdo {
namespace {

std::uint64_t whole_blocks(std::uint64_t bytes) {
  return (bytes + kBlockSize - 1) / kBlockSize * kBlockSize;
}

Result<void> read_fully(int fd, const std::string& path, std::uint64_t offset, MutableBytes out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, path);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  // Behind the end, or of a file that was cut off meanwhile.
  std::memset(out.data() + done, 0, out.size() - done);
  return {};
}

}  // namespace

Result<std::unique_ptr<Feed>> FileFeed::open(const std::string& path, const FeedOptions& options) {
  std::unique_ptr<FileFeed> feed(new FileFeed(path, options));
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return errno_error(errno, path);
  auto counted = feed->open_tree();
  if (!counted) return std::move(counted).error();
  feed->count_all(**counted);
  auto tree = feed->open_tree();
  if (!tree) return std::move(tree).error();
  feed->tree_ = std::move(*tree);
  feed->linked_.clear();
  return std::unique_ptr<Feed>(std::move(feed));
}

Result<FileFeed::Tree> FileFeed::open_tree() {
  std::array<char*, 2> paths{path_.data(), nullptr};
  int flags = FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR;
  if (!options_.cross_file_systems) flags |= FTS_XDEV;
  Tree tree(fts_open(paths.data(), flags, nullptr));
  if (!tree) return errno_error(errno, path_);
  return tree;
}

void FileFeed::report_problem(const std::string& what, int error) {
  options_.events.problem(errno_error(error, what).message());
}

FTSENT* FileFeed::next_of_tree(FTS& tree, bool report) {
  // Null is the end of all, or of what could be read of it.
  errno = 0;
  FTSENT* entry = fts_read(&tree);
  if (entry == nullptr && errno != 0 && report) report_problem(path_, errno);
  return entry;
}

FTSENT* FileFeed::next_entry(FTS& tree, bool report) {
  while (FTSENT* entry = next_of_tree(tree, report)) {
    switch (entry->fts_info) {
      case FTS_D:
        if (report && options_.by == GroupBy::folder && entry->fts_level == FTS_ROOTLEVEL + 1) {
          folder_group_ = options_.events.group(entry->fts_path);
        }
        break;
      case FTS_F:
        // What has a second name here has been counted under the first.
        if (entry->fts_statp->st_nlink > 1 &&
            !linked_.emplace(entry->fts_statp->st_dev, entry->fts_statp->st_ino).second) {
          break;
        }
        return entry;
      case FTS_DEFAULT:
        // Devices, sockets and pipes in folders hold no data of the folder.
        if (entry->fts_level == FTS_ROOTLEVEL && S_ISBLK(entry->fts_statp->st_mode)) return entry;
        break;
      case FTS_DNR:
      case FTS_ERR:
      case FTS_NS:
        if (report) report_problem(entry->fts_path, entry->fts_errno);
        break;
      default: break;
    }
  }
  return nullptr;
}

void FileFeed::count_all(FTS& tree) {
  while (const FTSENT* entry = next_entry(tree, false)) {
    const struct stat& found = *entry->fts_statp;
    if (S_ISBLK(found.st_mode)) {
      const FileDescriptor fd(::open(entry->fts_accpath, O_RDONLY | O_CLOEXEC));
      if (!fd) continue;
      if (const auto size = size_of_backing_store(fd.get(), path_)) expected_ += *size;
      continue;
    }
    FileDescriptor fd;
    expected_ += data_bytes(found, [&](off_t from, int whence) {
      if (!fd) fd = FileDescriptor(::open(entry->fts_accpath, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
      return lseek(fd.get(), from, whence);
    });
  }
}

bool FileFeed::open_next() {
  file_.reset();
  offset_ = 0;
  data_end_ = 0;
  while (const FTSENT* entry = next_entry(*tree_, true)) {
    auto file = std::make_shared<OpenFile>();
    file->path = entry->fts_path;
    file->fd = FileDescriptor(::open(entry->fts_accpath, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file->fd) {
      report_problem(file->path, errno);
      continue;
    }
    const auto size = size_of_backing_store(file->fd.get(), file->path);
    if (!size) {
      options_.events.problem(size.error().message());
      continue;
    }
    file->size = *size;
    options_.events.file(file->size);
    switch (options_.by) {
      case GroupBy::nothing: break;
      case GroupBy::file: file->group = options_.events.group(file->path); break;
      case GroupBy::folder:
        if (entry->fts_level > FTS_ROOTLEVEL + 1) {
          file->group = folder_group_;
        } else {
          if (!root_group_) root_group_ = options_.events.group(path_);
          file->group = *root_group_;
        }
        break;
    }
    if (file->size == 0) continue;
    file_ = std::move(file);
    return true;
  }
  return false;
}

/// Once for each run of data: some file systems look at all of it to find its end.
void FileFeed::find_data(std::uint64_t end) {
  const DataRun run = next_data_run(seek_in(file_->fd.get()), offset_, end);
  if (run.begin > offset_) {
    options_.events.hole(file_->group, (run.begin - offset_) / kBlockSize);
  }
  offset_ = run.begin;
  data_end_ = run.end;
}

std::optional<FileFeed::Part> FileFeed::next_part(std::size_t room) {
  const std::uint64_t end = whole_blocks(file_->size);
  if (offset_ >= end) return std::nullopt;
  if (offset_ >= data_end_) find_data(end);
  if (offset_ >= end) return std::nullopt;
  Part part{file_, offset_,
            static_cast<std::size_t>(std::min<std::uint64_t>(room, data_end_ - offset_))};
  offset_ += part.length;
  return part;
}

/// Small files share a piece, so that many blocks are named at once.
void FileFeed::plan(std::vector<Part>& parts) {
  std::size_t at = 0;
  while (at < kPieceBytes) {
    if (!file_ && !open_next()) return;
    auto part = next_part(kPieceBytes - at);
    if (!part) {
      file_.reset();
      continue;
    }
    at += part->length;
    parts.push_back(std::move(*part));
  }
}

std::size_t FileFeed::read_part(const Part& part, MutableBytes out) {
  const auto read = [&part](std::uint64_t offset, MutableBytes into) {
    return read_fully(part.file->fd.get(), part.file->path, offset, into);
  };
  return read_good_blocks(read, part.offset, out.first(part.length),
                          [this](std::uint64_t offset, std::uint64_t length, const Error& error) {
                            const std::lock_guard guard(mutex_);
                            options_.events.problem(unread_text(offset, length, error));
                          });
}

Result<Piece> FileFeed::next(MutableBytes out) {
  for (;;) {
    std::vector<Part> parts;
    {
      const std::lock_guard guard(mutex_);
      if (tree_) plan(parts);
      if (parts.empty()) tree_.reset();
    }
    Piece piece;
    std::size_t filled = 0;
    for (const Part& part : parts) {
      const std::size_t good = read_part(part, out.subspan(filled));
      filled += good;
      if (good > 0) {
        piece.spans.push_back({part.file->group, static_cast<std::uint32_t>(good / kBlockSize)});
      }
    }
    // A piece of which nothing could be read is not the end.
    if (parts.empty() || filled > 0) return piece;
  }
}

}  // namespace uvdo
