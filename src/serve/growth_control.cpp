// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/growth_control.h"

#include "volume/growth.h"

namespace uvdo {
namespace {

Result<GrowthRequest> read_request(const Json& request) {
  GrowthRequest wanted;
  if (request.contains("logical")) {
    if (!request["logical"].is_number_unsigned()) {
      return Error(Errc::invalid_argument, "\"logical\" is a number of bytes");
    }
    wanted.logical_bytes = request["logical"].get<std::uint64_t>();
  }
  if (request.contains("physical")) {
    wanted.physical_max = request["physical"] == "max";
    if (!wanted.physical_max && !request["physical"].is_number_unsigned()) {
      return Error(Errc::invalid_argument, "\"physical\" is a number of bytes or \"max\"");
    }
    if (!wanted.physical_max) wanted.physical_bytes = request["physical"].get<std::uint64_t>();
  }
  if (wanted.logical_bytes || wanted.moves_metadata()) return wanted;
  return Error(Errc::invalid_argument, "grow needs \"logical\" or \"physical\"");
}

}  // namespace

Task<Result<Json>> grow_by_request(Volume& volume, Json request) {
  auto wanted = read_request(request);
  if (!wanted) co_return std::move(wanted).error();
  auto done = co_await volume.grow(*wanted);
  if (!done) co_return std::move(done).error();
  co_return Json{{"logical", volume.size()},
                 {"physical", volume.super_block().config.physical_blocks * kBlockSize}};
}

}  // namespace uvdo
