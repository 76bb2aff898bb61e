// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/service_views.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/size_text.h"

namespace uvdo {
namespace {

Task<Result<void>> refuse() { co_return Error(Errc::read_only, "the volume is served read-only"); }

Error beyond_the_window() {
  return Error(Errc::out_of_range, "the range lies beyond the end of the device");
}

Task<Result<void>> out_of_range() { co_return beyond_the_window(); }

Task<Result<std::vector<Extent>>> no_extents() { co_return beyond_the_window(); }

}  // namespace

Task<Result<void>> ReadOnlyView::read(std::uint64_t offset, MutableBytes out) {
  return service_.read(offset, out);
}

Task<Result<void>> ReadOnlyView::write(std::uint64_t, Buffer, Durability) { return refuse(); }

Task<Result<void>> ReadOnlyView::discard(std::uint64_t, std::uint64_t, Durability) {
  return refuse();
}

Task<Result<void>> ReadOnlyView::write_zeroes(std::uint64_t, std::uint64_t, ZeroMode, Durability) {
  return refuse();
}

Task<Result<std::vector<Extent>>> ReadOnlyView::extents(std::uint64_t offset, std::uint64_t length,
                                                        std::size_t limit) {
  return service_.extents(offset, length, limit);
}

Result<void> check_window(const ServiceWindow& window, std::uint64_t size) {
  // Without a size the window is what lies behind its offset; an offset beyond the end leaves
  // nothing of it and is told below.
  const std::uint64_t length = window.size.value_or(size - std::min(size, window.offset));
  if (window.offset % kBlockSize != 0 || length % kBlockSize != 0) {
    return Error(Errc::invalid_argument, "--offset and --size are multiples of 4096 bytes");
  }
  if (window.offset > size || length > size - window.offset || length == 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("--offset {} and --size {} leave the volume's logical size of {} "
                             "({} bytes): choose a part of it",
                             window.offset, length, size_text(size), size));
  }
  return {};
}

Task<Result<void>> WindowView::read(std::uint64_t offset, MutableBytes out) {
  if (!holds(offset, out.size())) return out_of_range();
  return service_.read(window_.offset + offset, out);
}

Task<Result<void>> WindowView::write(std::uint64_t offset, Buffer data, Durability durability) {
  if (!holds(offset, data.size())) return out_of_range();
  return service_.write(window_.offset + offset, std::move(data), durability);
}

Task<Result<void>> WindowView::discard(std::uint64_t offset, std::uint64_t length,
                                       Durability durability) {
  if (!holds(offset, length)) return out_of_range();
  return service_.discard(window_.offset + offset, length, durability);
}

Task<Result<void>> WindowView::write_zeroes(std::uint64_t offset, std::uint64_t length,
                                            ZeroMode mode, Durability durability) {
  if (!holds(offset, length)) return out_of_range();
  return service_.write_zeroes(window_.offset + offset, length, mode, durability);
}

Task<Result<std::vector<Extent>>> WindowView::extents(std::uint64_t offset, std::uint64_t length,
                                                      std::size_t limit) {
  if (!holds(offset, length)) return no_extents();
  return service_.extents(window_.offset + offset, length, limit);
}

}  // namespace uvdo
