// SPDX-License-Identifier: GPL-2.0-or-later
// A volume whose writes are stable when they are answered, for clients that do not flush.
#pragma once

#include "block/block_service.h"

namespace uvdo {

/// Switched on, every write, discard and write of zeros is made with Durability::fua; each waits
/// for the disk then. Those that are under way when it is switched keep what they had.
class WriteThroughView final : public BlockService {
 public:
  /// `service` must outlive this.
  WriteThroughView(BlockService& service, bool is_on) : service_(service), is_on_(is_on) {}
  void switch_to(bool is_on) { is_on_ = is_on; }
  [[nodiscard]] bool is_on() const { return is_on_; }

  [[nodiscard]] std::uint64_t size() const override { return service_.size(); }
  [[nodiscard]] bool is_read_only() const override { return service_.is_read_only(); }
  [[nodiscard]] bool has_failed() const override { return service_.has_failed(); }
  BufferPool& buffers() override { return service_.buffers(); }
  Task<Result<void>> read(std::uint64_t offset, MutableBytes out) override;
  Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability) override;
  Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length,
                             Durability durability) override;
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                  Durability durability) override;
  Task<Result<void>> flush() override { return service_.flush(); }
  Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                            std::size_t limit) override;

 private:
  [[nodiscard]] Durability given(Durability asked) const {
    return is_on_ ? Durability::fua : asked;
  }
  BlockService& service_;
  bool is_on_;
};

}  // namespace uvdo
