// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/remote_device.h"

#include <cerrno>

namespace uvdo {

Task<void> RemoteDevice::carry_out(Request& request) {
  co_await work_.leave();
  Result<void> done;
  switch (request.op) {
    case Op::read: done = co_await device_.readv(request.offset, request.slices); break;
    case Op::write:
      done = co_await device_.writev(request.offset, request.slices, request.durability);
      break;
    case Op::flush: done = co_await device_.flush(); break;
    case Op::discard: done = co_await device_.discard(request.offset, request.length); break;
    case Op::write_zeroes:
      done = co_await device_.write_zeroes(request.offset, request.length);
      break;
  }
  // Devices answer home; who waits is in the thread.
  co_await work_.enter();
  request.error = done ? 0 : done.error().code() == Errc::unsupported ? EOPNOTSUPP : EIO;
  work_.executor().post(request.waiter);
}

}  // namespace uvdo
