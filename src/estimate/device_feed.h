// SPDX-License-Identifier: GPL-2.0-or-later
// The bytes of a store that is reached through a network, and for which there is no program that
// copies it.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "device/blocking_device.h"
#include "estimate/feed.h"

namespace uvdo {

class DeviceFeed final : public Feed {
 public:
  /// The errors of open_blocking_device().
  static Result<std::unique_ptr<Feed>> open(const std::string& name, const FeedOptions& options);
  DeviceFeed(std::string name, std::unique_ptr<BackingStore> store, const FeedOptions& options);

  Result<Piece> next(MutableBytes out) override;
  [[nodiscard]] std::uint64_t expected_bytes() const override { return device_.store().size(); }

 private:
  BlockingDevice device_;
  FeedOptions options_;
  std::uint64_t size_;
  std::uint32_t group_;
  std::mutex mutex_;
  std::uint64_t offset_ = 0;
};

}  // namespace uvdo
