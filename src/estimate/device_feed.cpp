// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/device_feed.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/block_types.h"
#include "device/open_device.h"
#include "estimate/read_blocks.h"

namespace uvdo {

Result<std::unique_ptr<Feed>> DeviceFeed::open(const std::string& name,
                                               const FeedOptions& options) {
  auto store = open_blocking_device(name, OpenMode::read_only);
  if (!store) return std::move(store).error();
  return std::unique_ptr<Feed>(std::make_unique<DeviceFeed>(name, std::move(*store), options));
}

DeviceFeed::DeviceFeed(std::string name, std::unique_ptr<BackingStore> store,
                       const FeedOptions& options)
    : device_(std::move(store)),
      options_(options),
      size_(device_.store().size()),
      group_(options.events.group(name)) {
  options_.events.file(size_);
}

Result<Piece> DeviceFeed::next(MutableBytes out) {
  const std::lock_guard guard(mutex_);
  Piece piece;
  while (piece.spans.empty() && offset_ < size_) {
    // The last block may be cut short.
    const std::uint64_t blocks =
        (std::min<std::uint64_t>(kPieceBytes, size_ - offset_) + kBlockSize - 1) / kBlockSize;
    const auto read = [this](std::uint64_t offset, MutableBytes into) -> Result<void> {
      const auto there = std::min<std::uint64_t>(into.size(), size_ - offset);
      std::memset(into.data() + there, 0, into.size() - there);
      return device_.read(offset, into.first(there));
    };
    const std::size_t filled =
        read_good_blocks(read, offset_, out.first(blocks * kBlockSize),
                         [this](std::uint64_t offset, std::uint64_t length, const Error& error) {
                           options_.events.problem(unread_text(offset, length, error));
                         });
    offset_ += blocks * kBlockSize;
    if (filled > 0) {
      piece.spans.push_back({group_, static_cast<std::uint32_t>(filled / kBlockSize)});
    }
  }
  return piece;
}

}  // namespace uvdo
