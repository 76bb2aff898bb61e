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

Result<void> carry_out_at_once(BackingStore& store, Device::Request request) {
  store.submit(request);
  check(request.done, "a store that is to be used by who waits has not answered at once");
  if (request.error == 0) return {};
  return errno_error(request.error,
                     request_text(request.op, request.offset, request.length, store.name()));
}

Result<void> read_at_once(BackingStore& store, std::uint64_t offset, MutableBytes out) {
  if (offset > store.size() || out.size() > store.size() - offset) {
    return beyond_end(store.name(), offset, store.size());
  }
  const iovec slice{out.data(), out.size()};
  Device::Request request;
  request.op = Device::Op::read;
  request.offset = offset;
  request.length = out.size();
  request.slices = {&slice, 1};
  auto done = carry_out_at_once(store, request);
  if (done) return done;
  // It may have become shorter meanwhile.
  const auto size = store.look_up_size();
  if (size && *size < offset + out.size()) return beyond_end(store.name(), offset, *size);
  return done;
}

Result<void> BlockingDevice::read(std::uint64_t offset, MutableBytes out) const {
  return read_at_once(*store_, offset, out);
}

Result<void> BlockingDevice::write(std::uint64_t offset, ConstBytes data) {
  const iovec slice{const_cast<std::byte*>(data.data()), data.size()};
  Device::Request request;
  request.op = Device::Op::write;
  request.offset = offset;
  request.length = data.size();
  request.slices = {&slice, 1};
  return carry_out_at_once(*store_, request);
}

Result<void> BlockingDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  Device::Request request;
  request.op = Device::Op::write_zeroes;
  request.offset = offset;
  request.length = length;
  return carry_out_at_once(*store_, request);
}

Result<void> BlockingDevice::flush() {
  Device::Request request;
  request.op = Device::Op::flush;
  return carry_out_at_once(*store_, request);
}

}  // namespace uvdo
