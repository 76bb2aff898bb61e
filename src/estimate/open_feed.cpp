// SPDX-License-Identifier: GPL-2.0-or-later
// Finding out what a path is.
#include <array>
#include <cerrno>
#include <utility>

#include <fmt/core.h>
#include <sys/stat.h>

#include "base/store_name.h"
#include "device/open_device.h"
#include "estimate/copied_feed.h"
#include "estimate/device_feed.h"
#include "estimate/feed.h"
#include "estimate/file_feed.h"
#include "estimate/volume_feed.h"

namespace uvdo {

namespace {

/// What the first bytes say that a store is, whoever uses it.
Result<SourceKind> kind_by_content(const std::string& name, SourceKind otherwise) {
  std::array<std::byte, 8> first{};
  auto got = peek(name, first);
  if (!got) {
    // A bad block at the begin is one of those that are left out.
    if (is_path(name) && got.error().code() == Errc::io) return otherwise;
    return std::move(got).error();
  }
  if (looks_like_volume(ConstBytes(first).first(*got))) return SourceKind::volume;
  // What a URI names is never given to qemu-nbd.
  if (*got < first.size() || !is_path(name)) return otherwise;
  constexpr std::uint32_t kQcow2 = 0x514649FB;  // "QFI\xfb"
  return load_be32(first.data()) == kQcow2 ? SourceKind::qcow2 : otherwise;
}

/// What a name is the name of, but for its contents.
Result<SourceKind> kind_by_name(const std::string& name) {
  switch (kind_of_store(name)) {
    case StoreKind::path: break;
    case StoreKind::nbd: return SourceKind::nbd;
    case StoreKind::rbd: return SourceKind::rbd;
  }
  struct stat found {};
  if (stat(name.c_str(), &found) != 0) return errno_error(errno, name);
  if (S_ISDIR(found.st_mode)) return SourceKind::folder;
  if (S_ISBLK(found.st_mode)) return SourceKind::device;
  if (S_ISREG(found.st_mode)) return SourceKind::file;
  return Error(Errc::invalid_argument,
               fmt::format("{} is neither a file, a folder nor a block device", name));
}

Result<SourceKind> kind_of(const std::string& name, bool raw) {
  auto kind = kind_by_name(name);
  if (!kind || raw || *kind == SourceKind::folder) return kind;
  return kind_by_content(name, *kind);
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
      case SourceKind::rbd: return DeviceFeed::open(path, options);
    }
    return Error(Errc::unsupported, path);
  };
  auto feed = open();
  if (!feed) return std::move(feed).error();
  return OpenedFeed{std::move(*feed), *kind};
}

}  // namespace uvdo
