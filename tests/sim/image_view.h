// SPDX-License-Identifier: GPL-2.0-or-later
// The content of a simulated disk, for the offline tools.
#pragma once

#include <string>

#include "device/sparse_image.h"
#include "inspect/image_source.h"

namespace uvdo::sim {

/// Reads `image`, which must outlive it.
class ImageView final : public ImageSource {
 public:
  explicit ImageView(const SparseImage& image) : image_(image) {}
  [[nodiscard]] std::uint64_t size() const override { return image_.size(); }
  [[nodiscard]] const std::string& name() const override { return name_; }
  Result<void> read(std::uint64_t offset, MutableBytes out) override {
    if (offset > image_.size() || out.size() > image_.size() - offset) {
      return Error(Errc::out_of_range, "a read beyond the end of the simulated disk");
    }
    image_.read(offset, out);
    return {};
  }

 private:
  const SparseImage& image_;
  std::string name_ = "simulated disk";
};

}  // namespace uvdo::sim
