// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/file_store.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <span>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/size_text.h"
#include "device/room_gate.h"
#include "device/slice_list.h"

namespace uvdo {
namespace {

/// How long a look that is under way may keep a file that is let go of.
constexpr std::chrono::milliseconds kLookPatience{100};

}  // namespace

bool cannot_be_done(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV; }

FileStore::FileStore(std::string path, OpenMode mode) : path_(std::move(path)), mode_(mode) {}

FileStore::~FileStore() = default;

Result<void> FileStore::reopen() {
  auto file = open_backing_store(path_, mode_);
  if (!file) return std::move(file).error();
  return take(std::move(*file));
}

Result<void> FileStore::take(BackingFile file) {
  const int fd = file.fd.get();
  auto size = size_of_backing_store(fd, path_);
  if (!size) return std::move(size).error();
  struct stat status {};
  is_block_device_ = fstat(fd, &status) == 0 && S_ISBLK(status.st_mode);
  prepare(fd, *size);
  file_ = std::move(file);
  size_ = *size;
  has_holes_ = true;
  return {};
}

Result<std::uint64_t> FileStore::look_up_size() {
  auto size = size_of_backing_store(fd(), path_);
  if (size) size_ = *size;
  return size;
}

Task<Result<void>> FileStore::extend(std::uint64_t size) {
  struct stat status {};
  if (fstat(fd(), &status) != 0) {
    co_return errno_error(errno, fmt::format("cannot examine {}", path_));
  }
  if (S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) < size &&
      ftruncate(fd(), static_cast<off_t>(size)) != 0) {
    co_return errno_error(errno, fmt::format("cannot make {} {} bytes long", path_, size));
  }
  auto now = look_up_size();
  if (!now) co_return std::move(now).error();
  if (*now >= size) co_return Result<void>();
  co_return too_small(*now, size);
}

Result<void> FileStore::make_anew(std::uint64_t size) {
  if (is_block_device_) return BackingStore::make_anew(size);
  // From nothing: what the file held before must not show through.
  if (ftruncate(fd(), 0) != 0 || ftruncate(fd(), static_cast<off_t>(size)) != 0) {
    if (errno != EFBIG) return errno_error(errno, fmt::format("cannot set the size of {}", path_));
    return Error(Errc::no_space, fmt::format("the file system of {} cannot hold a file of {}",
                                             path_, size_text(size)));
  }
  size_ = size;
  has_holes_ = true;
  prepare(fd(), size);
  return {};
}

Result<void> FileStore::take_room(std::uint64_t size) {
  if (is_block_device_) return BackingStore::take_room(size);
  // Keeps what the file holds.
  if (fallocate(fd(), 0, 0, static_cast<off_t>(size)) == 0) return {};
  const int error = errno;
  const std::string what = fmt::format("cannot take {} for {}", size_text(size), path_);
  if (error == EOPNOTSUPP) {
    return Error(Errc::unsupported, what + ": its file system cannot do that");
  }
  auto state = look();
  if (!is_no_room(error) || !state) return errno_error(error, what);
  return Error(Errc::no_space, fmt::format("{}: {} are free ({})", what, size_text(state->free),
                                           errno_error(error, "fallocate").message()));
}

Result<BackingState> FileStore::look() const {
  if (!file_.fd) return Error(Errc::busy, fmt::format("{} is not open", path_));
  return look_at_backing_store(fd(), path_);
}

Result<BackingState> FileStore::last_look() {
  if (!file_.fd) return look();
  if (!looker_) looker_ = std::make_unique<BackingLooker>(path_);
  // It has just been opened: its file system answers.
  if (!last_look_) last_look_ = look();
  if (auto found = looker_->take()) last_look_ = std::move(found);
  looker_->begin(fd());
  if (*last_look_) return **last_look_;
  return last_look_->error().clone();
}

Result<void> FileStore::release() {
  if (auto state = look(); state && state->is_removed()) {
    return Error(Errc::not_found,
                 fmt::format("{} has been removed: its data (inode {}) are there only as long as "
                             "they are in use here, so copy them first",
                             path_, state->inode));
  }
  if (looker_) looker_->forget(kLookPatience);
  last_look_.reset();
  file_ = BackingFile();
  return {};
}

std::uint64_t FileStore::next_data(std::uint64_t offset, std::uint64_t limit) {
  if (!has_holes_ || offset >= limit) return std::min(offset, limit);
  const off_t at = lseek(fd(), static_cast<off_t>(offset), SEEK_DATA);
  if (at >= 0) return std::min(static_cast<std::uint64_t>(at), limit);
  if (errno == ENXIO) return limit;  // nothing but a hole up to the end
  has_holes_ = false;
  return offset;
}

/// A file gets a hole, so that it stays as small as it was; a disk is told to write zeros, or to
/// forget what it has where it then reads as zeros.
std::optional<int> FileStore::fallocate_mode(Op op, unsigned attempt) const {
  constexpr int kHole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  constexpr int kZeros = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  if (attempt == 0) return op == Op::write_zeroes && is_block_device_ ? kZeros : kHole;
  if (attempt == 1 && op == Op::write_zeroes && !is_block_device_) return kZeros;
  return std::nullopt;
}

int FileStore::carry_out(const Request& request) const {
  switch (request.op) {
    case Op::flush: return fdatasync(fd()) == 0 ? 0 : errno;
    case Op::discard:
    case Op::write_zeroes:
      for (unsigned attempt = 0; const auto mode = fallocate_mode(request.op, attempt);) {
        if (fallocate(fd(), *mode, static_cast<off_t>(request.offset),
                      static_cast<off_t>(request.length)) == 0) {
          return 0;
        }
        if (errno == EINTR) continue;
        if (!cannot_be_done(errno)) return errno;
        ++attempt;
      }
      return EOPNOTSUPP;
    case Op::read:
    case Op::write: break;
  }
  // The data of this write, and what is needed to find them; nothing else.
  const int flags = request.durability == Durability::fua ? RWF_DSYNC : 0;
  SliceList rest;
  std::span<const iovec> slices = request.slices;
  for (std::uint64_t done = 0; done < request.length;) {
    const auto count = static_cast<int>(slices.size());
    const auto offset = static_cast<off_t>(request.offset + done);
    const ssize_t part = request.op == Op::read
                             ? preadv(fd(), slices.data(), count, offset)
                             : pwritev2(fd(), slices.data(), count, offset, flags);
    if (part < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (part < 0) return errno;
    // No progress means the end of the file, or a device that has stopped taking bytes.
    if (part == 0) return EIO;
    done += static_cast<std::uint64_t>(part);
    if (done < request.length) slices = rest.behind(request.slices, done);
  }
  return 0;
}

/// Every request ends here, once, before who asked for it is told.
void FileStore::end(const Request& request, int error) {
  // That a store cannot discard or zero is no failure of it.
  const bool is_beyond_it =
      error == EOPNOTSUPP && (request.op == Op::discard || request.op == Op::write_zeroes);
  if (error != 0 && !is_beyond_it) {
    meter_.fail(request.op, is_no_room(error));
    if (on_failure_) on_failure_({request.op, request.offset, request.length, error});
  }
  meter_.end();
}

}  // namespace uvdo
