// SPDX-License-Identifier: GPL-2.0-or-later
// A volume on a device in memory, driven from straight-line test code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "async/uring_loop.h"
#include "device/memory_device.h"
#include "volume/format_volume.h"
#include "volume/volume.h"

namespace uvdo::testing {

/// Formats the first `volume_bytes` of a device, with small slabs.
inline void format_test_volume(UringLoop& loop, Device& device, std::uint64_t volume_bytes,
                               std::uint64_t logical_bytes) {
  FormatRequest request;
  request.device_bytes = volume_bytes;
  request.slab_bits = 13;
  request.logical_bytes = logical_bytes;
  request.nonce = 77;
  const auto layout = make_volume_layout(request);
  ASSERT_TRUE(layout.ok()) << layout.error().message();
  loop.run([](Device& where, const VolumeLayout& what) -> Task<void> {
    const auto done = co_await format_volume(where, what);
    EXPECT_TRUE(done.ok());
  }(device, *layout));
}

class VolumeFixture : public ::testing::Test {
 protected:
  VolumeFixture(std::uint64_t device_bytes, std::uint64_t volume_bytes, std::uint64_t logical_bytes)
      : device_bytes_(device_bytes), volume_bytes_(volume_bytes), logical_bytes_(logical_bytes) {}

  void SetUp() override {
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
    auto device = MemoryDevice::create(device_bytes_);
    ASSERT_TRUE(device.ok());
    device_ = std::move(*device);
    format_test_volume(*loop_, *device_, volume_bytes_, logical_bytes_);
  }
  template <class Body>
  void run(Body body) {
    loop_->run(body());
  }
  static void expect_ok(const Result<void>& result) {
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message());
  }
  static void expect_error(const Result<void>& result, const char* text) {
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.error().message().find(text), std::string::npos) << result.error().message();
  }
  Task<void> open(BackingStore& store, IndexFactory make_index) {
    auto opened = co_await Volume::open(*loop_, store, options_, std::move(make_index),
                                        [this](const LogLine& line) { log_.push_back(line.text); });
    if (!opened) {
      ADD_FAILURE() << opened.error().message();
      co_return;
    }
    volume_ = std::move(*opened);
  }
  Task<void> stop() {
    expect_ok(co_await volume_->stop());
    volume_.reset();
  }

  std::uint64_t device_bytes_;
  std::uint64_t volume_bytes_;
  std::uint64_t logical_bytes_;
  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<MemoryDevice> device_;
  VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
  std::vector<std::string> log_;
};

}  // namespace uvdo::testing
