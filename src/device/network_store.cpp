// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/network_store.h"

namespace uvdo {

Result<std::size_t> NetworkStore::read_beginning(MutableBytes out) {
  const iovec slice{out.data(), std::min<std::size_t>(out.size(), size_)};
  Request request;
  request.op = Op::read;
  request.length = slice.iov_len;
  request.slices = {&slice, 1};
  if (slice.iov_len > 0) submit(request);
  if (request.error == 0) return slice.iov_len;
  return errno_error(request.error, request_text(Op::read, 0, slice.iov_len, name_));
}

}  // namespace uvdo
