// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/blocking_device.h"

#include <fmt/core.h>

#include "base/check.h"

namespace uvdo {
namespace {

Error beyond_end(const std::string& name, std::uint64_t offset, std::uint64_t size) {
  return {
      Errc::out_of_range,
      fmt::format("{} ends at byte {}, but the volume goes on at {}: the file or device has been "
                  "cut short",
                  name, size, offset)};
}

}  // namespace

Result<void> BlockingDevice::read(std::uint64_t offset, MutableBytes out) const {
  BackingStore& store = *store_;
  if (offset > store.size() || out.size() > store.size() - offset) {
    return beyond_end(store.name(), offset, store.size());
  }
  const iovec slice{out.data(), out.size()};
  Device::Request request;
  request.op = Device::Op::read;
  request.offset = offset;
  request.length = out.size();
  request.slices = {&slice, 1};
  store.submit(request);
  check(request.done, "a store that is to be read by who waits has not answered at once");
  if (request.error == 0) return {};
  // It may have become shorter meanwhile.
  const auto size = store.look_up_size();
  if (size && *size < offset + out.size()) return beyond_end(store.name(), offset, *size);
  return errno_error(request.error,
                     request_text(Device::Op::read, offset, out.size(), store.name()));
}

}  // namespace uvdo
