// SPDX-License-Identifier: GPL-2.0-or-later
// A store in memory of which only what was written takes any: the smallest volume spans a gigabyte.
// For the tests and fuzzers of what reads stopped volumes; every request completes at once.
#pragma once

#include <string>
#include <utility>

#include "device/private_store.h"
#include "device/sparse_image.h"

namespace uvdo {

class SparseDevice : public PrivateStore {
 public:
  /// A copy of `image`, which costs nothing.
  explicit SparseDevice(SparseImage image, std::string name = "memory")
      : image_(std::move(image)), name_(std::move(name)) {}

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return image_.size(); }
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) override {
    return image_.next_data(offset, limit);
  }
  [[nodiscard]] const SparseImage& image() const { return image_; }

 private:
  SparseImage image_;
  std::string name_;
};

}  // namespace uvdo
