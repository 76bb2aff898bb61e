// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/write_through.h"

#include <utility>

namespace uvdo {

Task<Result<void>> WriteThroughView::read(std::uint64_t offset, MutableBytes out) {
  return service_.read(offset, out);
}

Task<Result<void>> WriteThroughView::write(std::uint64_t offset, Buffer data,
                                           Durability durability) {
  return service_.write(offset, std::move(data), given(durability));
}

Task<Result<void>> WriteThroughView::discard(std::uint64_t offset, std::uint64_t length,
                                             Durability durability) {
  return service_.discard(offset, length, given(durability));
}

Task<Result<void>> WriteThroughView::write_zeroes(std::uint64_t offset, std::uint64_t length,
                                                  ZeroMode mode, Durability durability) {
  return service_.write_zeroes(offset, length, mode, given(durability));
}

Task<Result<std::vector<Extent>>> WriteThroughView::extents(std::uint64_t offset,
                                                            std::uint64_t length,
                                                            std::size_t limit) {
  return service_.extents(offset, length, limit);
}

}  // namespace uvdo
