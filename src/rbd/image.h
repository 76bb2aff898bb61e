// SPDX-License-Identifier: GPL-2.0-or-later
// An image by librbd: what uvdo-rbd.so does.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include <rbd/librbd.h>

#include "base/file_descriptor.h"
#include "device/rbd_module.h"
#include "rbd/cluster.h"

namespace uvdo {

class LibrbdImage final : public RbdImage {
 public:
  static Result<std::unique_ptr<RbdImage>> open(const std::string& name, const RbdPlace& place,
                                                RbdAccess access, const std::string& ended);
  static Result<void> take_over(const std::string& name, const RbdPlace& place);
  ~LibrbdImage() override;

  [[nodiscard]] const std::string& owner() const override { return owner_; }
  [[nodiscard]] Result<std::uint64_t> look_up_size() override;
  Result<void> resize(std::uint64_t size) override;
  [[nodiscard]] int event() const override { return event_.get(); }
  int start(Device::Request& request) override;
  [[nodiscard]] Answer collect() override;

 private:
  LibrbdImage(std::string name, Cluster cluster)
      : name_(std::move(name)), cluster_(std::move(cluster)) {}
  Result<void> open_image(const RbdPlace& place, RbdAccess access);
  Result<void> watch_answers();
  Result<void> check_settings();
  Result<void> check_unlocked(const std::string& ended);
  Result<void> lock(RbdAccess access, const std::string& ended);
  Result<void> take_lock(const std::string& ended);
  Result<void> break_lock();
  [[nodiscard]] Error in_use(const std::string& owner) const;

  std::string name_;
  Cluster cluster_;
  FileDescriptor event_;
  rbd_image_t image_ = nullptr;
  std::string owner_;  // this one, as long as it has the lock
  std::size_t under_way_ = 0;
};

}  // namespace uvdo
