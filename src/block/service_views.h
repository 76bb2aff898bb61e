// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes as clients get to see them: read-only, or a part of one.
#pragma once

#include <optional>

#include "block/block_service.h"

namespace uvdo {

/// A volume that clients may only read. Changes are refused with Errc::read_only; has_failed()
/// stays false, so that clients are told "not permitted" and not of an error.
class ReadOnlyView final : public BlockService {
 public:
  explicit ReadOnlyView(BlockService& service) : service_(service) {}
  [[nodiscard]] std::uint64_t size() const override { return service_.size(); }
  [[nodiscard]] bool is_read_only() const override { return true; }
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
  BlockService& service_;
};

/// A part of a volume, in bytes: what an LVM-VDO pool offers lies within its logical space.
struct ServiceWindow {
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> size =
      std::nullopt;  ///< none: up to the volume's end, also when it grows
};

/// invalid_argument if the window is not of whole blocks, is empty or does not lie within `size`
/// bytes.
Result<void> check_window(const ServiceWindow& window, std::uint64_t size);

/// That part, as a device of its own.
class WindowView final : public BlockService {
 public:
  /// check_window() has found nothing.
  WindowView(BlockService& service, ServiceWindow window) : service_(service), window_(window) {}
  [[nodiscard]] std::uint64_t size() const override {
    return window_.size.value_or(service_.size() - window_.offset);
  }
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
  [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t length) const {
    return offset <= size() && length <= size() - offset;
  }
  BlockService& service_;
  ServiceWindow window_;
};

/// A volume as a client gets to see it: a window of it, or all, and perhaps to be read only.
class ClientView {
 public:
  /// With a window, check_window() has found nothing. `service` must outlive this.
  ClientView(BlockService& service, std::optional<ServiceWindow> window, bool read_only)
      : window_(service, window.value_or(ServiceWindow())),
        read_only_(window ? static_cast<BlockService&>(window_) : service),
        seen_(read_only ? static_cast<BlockService*>(&read_only_)
              : window  ? static_cast<BlockService*>(&window_)
                        : &service) {}
  ClientView(const ClientView&) = delete;
  ClientView& operator=(const ClientView&) = delete;
  [[nodiscard]] BlockService& service() { return *seen_; }
  [[nodiscard]] const BlockService& service() const { return *seen_; }

 private:
  WindowView window_;
  ReadOnlyView read_only_;
  BlockService* seen_;
};

}  // namespace uvdo
