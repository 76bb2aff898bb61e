// SPDX-License-Identifier: GPL-2.0-or-later
// Files, block devices and memory as sources of volume images.
#include "inspect/image_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block_types.h"
#include "base/file_checks.h"
#include "device/storage_lock.h"

namespace uvdo {
namespace {

Error beyond_end(const std::string& name, std::uint64_t offset, std::uint64_t size) {
  return {
      Errc::out_of_range,
      fmt::format("{} ends at byte {}, but the volume goes on at {}: the file or device has been "
                  "cut short",
                  name, size, offset)};
}

class FileImageSource final : public ImageSource {
 public:
  FileImageSource(FileDescriptor fd, std::string path)
      : fd_(std::move(fd)), path_(std::move(path)) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return path_; }
  void set_size(std::uint64_t size) { size_ = size; }
  void keep(StorageLock lock) { lock_ = std::move(lock); }

  Result<void> read(std::uint64_t offset, MutableBytes out) override {
    if (offset > size_ || out.size() > size_ - offset) return beyond_end(path_, offset, size_);
    while (!out.empty()) {
      const ssize_t got = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0) {
        if (errno == EINTR) continue;
        return errno_error(errno,
                           fmt::format("read of {} bytes at {} of {}", out.size(), offset, path_));
      }
      if (got == 0) return beyond_end(path_, offset, offset);
      offset += static_cast<std::uint64_t>(got);
      out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
  }

  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) override {
    if (!seekable_ || offset >= limit) return std::min(offset, limit);
    const off_t at = lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (at >= 0) return std::min(static_cast<std::uint64_t>(at), limit);
    if (errno == ENXIO) return limit;  // nothing but a hole up to the end
    seekable_ = false;
    return offset;
  }

 private:
  FileDescriptor fd_;
  std::uint64_t size_ = 0;
  std::string path_;
  StorageLock lock_;
  bool seekable_ = true;
};

class MemoryImageSource final : public ImageSource {
 public:
  MemoryImageSource(MemoryImage image, std::string name)
      : image_(std::move(image)), name_(std::move(name)) {}
  [[nodiscard]] std::uint64_t size() const override { return image_.size; }
  [[nodiscard]] const std::string& name() const override { return name_; }
  Result<void> read(std::uint64_t offset, MutableBytes out) override {
    if (offset > image_.size || out.size() > image_.size - offset) {
      return beyond_end(name_, offset, image_.size);
    }
    while (!out.empty()) {
      const std::size_t in_block = offset % kBlockSize;
      const std::size_t n = std::min(out.size(), kBlockSize - in_block);
      const auto found = image_.blocks.find(offset / kBlockSize);
      if (found != image_.blocks.end() && found->second.size() == kBlockSize) {
        std::memcpy(out.data(), found->second.data() + in_block, n);
      } else {
        std::memset(out.data(), 0, n);
      }
      offset += n;
      out = out.subspan(n);
    }
    return {};
  }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) override {
    const auto found = image_.blocks.lower_bound(offset / kBlockSize);
    if (found == image_.blocks.end()) return limit;
    return std::min(limit, std::max(offset, found->first * kBlockSize));
  }

 private:
  MemoryImage image_;
  std::string name_;
};

}  // namespace

std::uint64_t ImageSource::next_data(std::uint64_t offset, std::uint64_t limit) {
  return std::min(offset, limit);
}

Result<std::unique_ptr<ImageSource>> open_image_source(const std::string& path) {
  auto opened = open_checked(path, O_RDONLY, FileKind::store);
  if (!opened) return std::move(opened).error();
  const int fd = opened->get();
  auto source = std::make_unique<FileImageSource>(std::move(*opened), path);
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno_error(errno, fmt::format("cannot examine {}", path));
  std::uint64_t size = 0;
  if (S_ISBLK(status.st_mode)) {
    if (ioctl(fd, BLKGETSIZE64, &size) != 0) {
      return errno_error(errno, fmt::format("cannot find the size of {}", path));
    }
  } else {
    size = static_cast<std::uint64_t>(status.st_size);
  }
  auto lock = StorageLock::take(fd, path, StorageLock::Mode::shared);
  if (!lock) return std::move(lock).error();
  source->keep(std::move(*lock));
  source->set_size(size);
  return std::unique_ptr<ImageSource>(std::move(source));
}

std::unique_ptr<ImageSource> make_memory_image(MemoryImage image, std::string name) {
  return std::make_unique<MemoryImageSource>(std::move(image), std::move(name));
}

}  // namespace uvdo
