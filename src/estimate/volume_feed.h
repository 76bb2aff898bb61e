// SPDX-License-Identifier: GPL-2.0-or-later
// The contents of a stopped VDO volume.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "estimate/feed.h"
#include "inspect/content_reader.h"
#include "inspect/volume_image.h"

namespace uvdo {

class VolumeFeed final : public Feed {
 public:
  /// busy: the volume is being served; and the errors of VolumeImage::open().
  static Result<std::unique_ptr<Feed>> open(const std::string& path, const FeedOptions& options);

  Result<Piece> next(MutableBytes out) override;
  [[nodiscard]] std::uint64_t expected_bytes() const override { return expected_; }

 private:
  VolumeFeed(std::string path, std::unique_ptr<VolumeImage> image, const FeedOptions& options);

  std::string path_;
  std::unique_ptr<VolumeImage> image_;
  FeedOptions options_;
  std::uint64_t expected_;
  std::uint32_t group_;
  std::mutex mutex_;
  ContentReader reader_;
  std::optional<ContentRun> run_;  // of data, of which `taken_` blocks are given out
  std::uint64_t taken_ = 0;
};

/// Whether a file or block device begins as a VDO volume does.
[[nodiscard]] bool looks_like_volume(ConstBytes first_bytes);

}  // namespace uvdo
