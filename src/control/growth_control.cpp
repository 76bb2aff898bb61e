// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/growth_control.h"

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
  if (wanted.logical_bytes || wanted.may_move_metadata()) return wanted;
  return Error(Errc::invalid_argument, "grow needs \"logical\" or \"physical\"");
}

}  // namespace

Task<Result<Json>> grow_by_request(Volume& volume, Json request) {
  auto wanted = read_request(request);
  if (!wanted) co_return std::move(wanted).error();
  const VolumeConfig before = volume.super_block().config;
  auto done = co_await volume.grow(*wanted);
  if (!done) co_return std::move(done).error();
  const VolumeConfig& now = volume.super_block().config;
  co_return Json{{"logical", volume.size()},
                 {"physical", now.physical_blocks * kBlockSize},
                 {"changed", now.logical_blocks != before.logical_blocks ||
                                 now.physical_blocks != before.physical_blocks}};
}

}  // namespace uvdo
