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

void carry_out(BackingStore& store, Device::Request& request) {
  store.submit(request);
  check(request.done, "a store that is to be used by who waits has not answered at once");
}

Error error_of(const BackingStore& store, const Device::Request& request) {
  return errno_error(request.error,
                     request_text(request.op, request.offset, request.length, store.name()));
}

/// A request that is not a read.
Result<void> change(BackingStore& store, Device::Request request) {
  carry_out(store, request);
  if (request.error == 0) return {};
  return error_of(store, request);
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
  carry_out(store, request);
  if (request.error == 0) return {};
  // It may have become shorter meanwhile.
  const auto size = store.look_up_size();
  if (size && *size < offset + out.size()) return beyond_end(store.name(), offset, *size);
  return error_of(store, request);
}

Result<void> BlockingDevice::write(std::uint64_t offset, ConstBytes data) {
  const iovec slice{const_cast<std::byte*>(data.data()), data.size()};
  Device::Request request;
  request.op = Device::Op::write;
  request.offset = offset;
  request.length = data.size();
  request.slices = {&slice, 1};
  return change(*store_, request);
}

Result<void> BlockingDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  Device::Request request;
  request.op = Device::Op::write_zeroes;
  request.offset = offset;
  request.length = length;
  return change(*store_, request);
}

Result<void> BlockingDevice::flush() {
  Device::Request request;
  request.op = Device::Op::flush;
  return change(*store_, request);
}

}  // namespace uvdo
