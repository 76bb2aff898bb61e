// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/volume_feed.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "device/open_device.h"
#include "format/volume_geometry.h"
#include "inspect/damage_list.h"

namespace uvdo {

bool looks_like_volume(ConstBytes first_bytes) {
  const auto magic = std::as_bytes(std::span(kGeometryMagic, sizeof(kGeometryMagic) - 1));
  return first_bytes.size() >= magic.size() &&
         std::ranges::equal(first_bytes.first(magic.size()), magic);
}

Result<std::unique_ptr<Feed>> VolumeFeed::open(const std::string& path,
                                               const FeedOptions& options) {
  auto store = open_blocking_device(path, OpenMode::read_only);
  if (!store) return std::move(store).error();
  auto image = VolumeImage::open(std::move(*store));
  if (!image) return std::move(image).error();
  return std::unique_ptr<Feed>(new VolumeFeed(path, std::move(*image), options));
}

VolumeFeed::VolumeFeed(std::string path, std::unique_ptr<VolumeImage> image,
                       const FeedOptions& options)
    : path_(std::move(path)),
      image_(std::move(image)),
      options_(options),
      expected_(std::min(image_->logical_blocks(), image_->logical_blocks_used()) * kBlockSize),
      group_(options.events.group(path_)),
      reader_(*image_, Lbn{0}, image_->logical_blocks()) {
  options_.events.file(image_->logical_blocks() * kBlockSize);
}

Result<Piece> VolumeFeed::next(MutableBytes out) {
  const std::lock_guard guard(mutex_);
  while (!run_) {
    auto run = reader_.next();
    if (!run) return Piece{};
    switch (run->kind) {
      case ContentRun::Kind::hole: options_.events.hole(group_, run->blocks); break;
      case ContentRun::Kind::damaged:
        options_.events.problem(fmt::format("{}: {}: {}", path_, place_text(*run), run->problem));
        break;
      case ContentRun::Kind::data:
        run_ = std::move(run);
        taken_ = 0;
        break;
    }
  }
  const std::uint64_t blocks = std::min(run_->blocks - taken_, kPieceBytes / kBlockSize);
  std::memcpy(out.data(), run_->data.data() + taken_ * kBlockSize, blocks * kBlockSize);
  taken_ += blocks;
  if (taken_ == run_->blocks) run_.reset();
  Piece piece;
  piece.spans.push_back({group_, static_cast<std::uint32_t>(blocks)});
  return piece;
}

}  // namespace uvdo
