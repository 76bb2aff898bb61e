// SPDX-License-Identifier: GPL-2.0-or-later
// The writes of formatting, in their order, and the question whether something is overwritten.
#include "cli/format_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace uvdo {
namespace {

constexpr std::uint64_t kZeroChunk = 1U << 20U;

class Writer {
 public:
  Writer(int fd, const std::string& path, const VolumeGeometry& geometry)
      : fd_(fd), path_(path), geometry_(geometry) {}

  Result<void> write(Pbn pbn, ConstBytes bytes) {
    return write_at(geometry_.device_byte(pbn), bytes);
  }

  Result<void> zero(Pbn first, std::uint64_t blocks) {
    const std::uint64_t offset = geometry_.device_byte(first);
    const std::uint64_t length = blocks * kBlockSize;
    if (zero_fast(offset, length)) return {};
    const std::vector<std::byte> zeros(std::min(length, kZeroChunk));
    for (std::uint64_t done = 0; done < length;) {
      const std::uint64_t n = std::min<std::uint64_t>(zeros.size(), length - done);
      if (auto ok = write_at(offset + done, ConstBytes(zeros).first(n)); !ok) return ok;
      done += n;
    }
    return {};
  }

  Result<void> flush() {
    if (fsync(fd_) == 0) return {};
    return errno_error(errno, fmt::format("flushing {}", path_));
  }

 private:
  Result<void> write_at(std::uint64_t offset, ConstBytes bytes) {
    while (!bytes.empty()) {
      const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        return errno_error(
            errno, fmt::format("writing {} bytes at {} of {}", bytes.size(), offset, path_));
      }
      offset += static_cast<std::uint64_t>(n);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }

  /// Zeroes without writing, where kernel and file system can.
  bool zero_fast(std::uint64_t offset, std::uint64_t length) const {
    struct stat status {};
    if (fstat(fd_, &status) != 0) return false;
    if (S_ISBLK(status.st_mode)) {
      const std::array<std::uint64_t, 2> range{offset, length};
      return ioctl(fd_, BLKZEROOUT, range.data()) == 0;
    }
    const auto at = static_cast<off_t>(offset);
    const auto size = static_cast<off_t>(length);
    return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size) == 0 ||
           fallocate(fd_, FALLOC_FL_ZERO_RANGE, at, size) == 0;
  }

  int fd_;
  const std::string& path_;
  const VolumeGeometry& geometry_;
};

struct FreeProbe {
  void operator()(blkid_struct_probe* probe) const { blkid_free_probe(probe); }
};

std::string probe_value(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  std::size_t length = 0;
  if (blkid_probe_lookup_value(probe, name, &value, &length) != 0 || value == nullptr) return {};
  return value;
}

}  // namespace

Result<void> write_new_volume(int fd, const std::string& path, const VolumeLayout& layout) {
  const SuperBlock& super = layout.super_block;
  Writer writer(fd, path, layout.geometry);
  std::array<std::byte, kBlockSize> block{};
  // First what an earlier volume would be found by: its index, then its geometry block.
  if (auto ok = writer.write(layout.geometry.index_start, block); !ok) return ok;
  if (auto ok = writer.write(Pbn{0}, block); !ok) return ok;
  for (const PartitionId id : {PartitionId::block_map, PartitionId::recovery_journal}) {
    const Partition partition = super.find(id);
    if (auto ok = writer.zero(partition.start, partition.blocks); !ok) return ok;
  }
  encode_super_block(super, block);
  if (auto ok = writer.write(layout.geometry.data_start, block); !ok) return ok;
  if (auto ok = writer.flush(); !ok) return ok;
  encode_volume_geometry(layout.geometry, block);
  if (auto ok = writer.write(Pbn{0}, block); !ok) return ok;
  return writer.flush();
}

Result<std::string> find_signature(int fd, const std::string& path) {
  const std::unique_ptr<blkid_struct_probe, FreeProbe> probe(blkid_new_probe());
  if (!probe || blkid_probe_set_device(probe.get(), fd, 0, 0) != 0) {
    return Error(Errc::io, fmt::format("cannot examine {} for what it holds", path));
  }
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  blkid_probe_enable_partitions(probe.get(), 1);
  const int found = blkid_do_probe(probe.get());
  if (found < 0) return Error(Errc::io, fmt::format("cannot read {} to see what it holds", path));
  if (found > 0) return std::string();
  if (std::string type = probe_value(probe.get(), "TYPE"); !type.empty()) {
    const std::string usage = probe_value(probe.get(), "USAGE");
    if (type == "vdo") return std::string("a VDO volume");
    return fmt::format("{} ({})", type, usage.empty() ? "unknown use" : usage);
  }
  if (std::string type = probe_value(probe.get(), "PTTYPE"); !type.empty()) {
    return fmt::format("a partition table ({})", type);
  }
  return std::string("something that libblkid knows");
}

}  // namespace uvdo
