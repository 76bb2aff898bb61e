// SPDX-License-Identifier: GPL-2.0-or-later
// Finding out what a path is.
#include <array>
#include <cerrno>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "estimate/copied_feed.h"
#include "estimate/feed.h"
#include "estimate/file_feed.h"
#include "estimate/volume_feed.h"

namespace uvdo {

bool is_nbd_uri(std::string_view path) {
  for (const std::string_view scheme : {"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"}) {
    if (path.starts_with(scheme)) return true;
  }
  return false;
}

namespace {

/// Of a regular file or a block device, by its first bytes.
Result<SourceKind> kind_of_image(const std::string& path, SourceKind otherwise) {
  const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return errno_error(errno, path);
  std::array<std::byte, 8> first{};
  const ssize_t got = pread(fd.get(), first.data(), first.size(), 0);
  if (got < static_cast<ssize_t>(first.size())) return otherwise;
  if (looks_like_volume(first)) return SourceKind::volume;
  constexpr std::uint32_t kQcow2 = 0x514649FB;  // "QFI\xfb"
  return load_be32(first.data()) == kQcow2 ? SourceKind::qcow2 : otherwise;
}

Result<SourceKind> kind_of(const std::string& path, bool raw) {
  if (is_nbd_uri(path)) return SourceKind::nbd;
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return errno_error(errno, path);
  if (S_ISDIR(found.st_mode)) return SourceKind::folder;
  const SourceKind kind = S_ISBLK(found.st_mode) ? SourceKind::device : SourceKind::file;
  return raw ? kind : kind_of_image(path, kind);
}

}  // namespace

Result<OpenedFeed> open_feed(const std::string& path, const FeedOptions& options) {
  auto kind = kind_of(path, options.raw);
  if (!kind) return std::move(kind).error();
  const auto open = [&]() -> Result<std::unique_ptr<Feed>> {
    switch (*kind) {
      case SourceKind::file:
      case SourceKind::device:
      case SourceKind::folder: return FileFeed::open(path, options);
      case SourceKind::volume: return VolumeFeed::open(path, options);
      case SourceKind::qcow2: return CopiedFeed::open_qcow2(path, options);
      case SourceKind::nbd: return CopiedFeed::open_uri(path, options);
    }
    return Error(Errc::unsupported, path);
  };
  auto feed = open();
  if (!feed) return std::move(feed).error();
  return OpenedFeed{std::move(*feed), *kind};
}

}  // namespace uvdo
