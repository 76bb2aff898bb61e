// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/device.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

std::string_view word_for(Device::Op op) {
  switch (op) {
    case Device::Op::read: return "read";
    case Device::Op::write: return "write";
    case Device::Op::flush: return "flush";
    case Device::Op::discard: return "discard";
    case Device::Op::write_zeroes: return "zeroing";
  }
  return "request";
}

}  // namespace

std::string request_text(Device::Op op, std::uint64_t offset, std::uint64_t length,
                         const std::string& name) {
  if (op == Device::Op::flush) return fmt::format("{} of {}", word_for(op), name);
  return fmt::format("{} of {} bytes at byte {} of {}", word_for(op), length, offset, name);
}

Error Device::request_error(const Request& request, const std::string& name) {
  return errno_error(request.error, request_text(request.op, request.offset, request.length, name));
}

}  // namespace uvdo
