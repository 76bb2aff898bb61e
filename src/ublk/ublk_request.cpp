// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_request.h"

#include <optional>

#include <fmt/core.h>

namespace uvdo {
namespace {

std::optional<UblkRequest::Kind> kind_of(const ublk::IoDescriptor& descriptor) {
  switch (descriptor.operation_and_flags & ublk::kOperationMask) {
    case ublk::kRead: return UblkRequest::Kind::read;
    case ublk::kWrite: return UblkRequest::Kind::write;
    case ublk::kFlush: return UblkRequest::Kind::flush;
    case ublk::kDiscard: return UblkRequest::Kind::discard;
    case ublk::kWriteZeroes: return UblkRequest::Kind::write_zeroes;
    default: return std::nullopt;
  }
}

}  // namespace

Result<UblkRequest> decode_request(const ublk::IoDescriptor& descriptor, const UblkLimits& limits) {
  const auto kind = kind_of(descriptor);
  if (!kind) {
    return Error(Errc::unsupported,
                 fmt::format("the driver has sent a request of the unknown kind {}",
                             descriptor.operation_and_flags & ublk::kOperationMask));
  }
  UblkRequest request;
  request.kind = *kind;
  if (request.kind == UblkRequest::Kind::flush) return request;
  request.fua = (descriptor.operation_and_flags & ublk::kFua) != 0;
  request.keeps_mapped = (descriptor.operation_and_flags & ublk::kNoUnmap) != 0;
  request.length = std::uint64_t{descriptor.sectors} << ublk::kSectorShift;
  const std::uint64_t sectors = limits.size >> ublk::kSectorShift;
  if (descriptor.first_sector > sectors || descriptor.sectors > sectors - descriptor.first_sector) {
    return Error(Errc::out_of_range,
                 fmt::format("the driver has sent a request of {} sectors at sector {} of {}",
                             descriptor.sectors, descriptor.first_sector, sectors));
  }
  request.offset = descriptor.first_sector << ublk::kSectorShift;
  if (request.length == 0 || (request.has_data() && request.length > limits.max_io_bytes)) {
    return Error(Errc::protocol, fmt::format("the driver has sent a request of {} bytes, of {}",
                                             request.length, limits.max_io_bytes));
  }
  return request;
}

std::int32_t failure_of(const Error& error) {
  switch (error.code()) {
    case Errc::no_space: return -ENOSPC;
    case Errc::unsupported: return -EOPNOTSUPP;
    case Errc::invalid_argument:
    case Errc::out_of_range:
    case Errc::read_only:
    case Errc::io:
    case Errc::corrupt:
    case Errc::not_found:
    case Errc::exists:
    case Errc::busy:
    case Errc::cancelled:
    case Errc::protocol:
    case Errc::no_memory: break;
  }
  return -EIO;
}

}  // namespace uvdo
