// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/growth_control.h"

#include <optional>

namespace uvdo {
namespace {

struct Wanted {
  std::optional<std::uint64_t> logical;
  std::optional<std::uint64_t> physical;
  bool physical_max = false;
};

Result<Wanted> read_request(const Json& request) {
  Wanted wanted;
  if (request.contains("logical")) {
    if (!request["logical"].is_number_unsigned()) {
      return Error(Errc::invalid_argument, "\"logical\" is a number of bytes");
    }
    wanted.logical = request["logical"].get<std::uint64_t>();
  }
  if (request.contains("physical")) {
    wanted.physical_max = request["physical"] == "max";
    if (!wanted.physical_max && !request["physical"].is_number_unsigned()) {
      return Error(Errc::invalid_argument, "\"physical\" is a number of bytes or \"max\"");
    }
    if (!wanted.physical_max) wanted.physical = request["physical"].get<std::uint64_t>();
  }
  if (wanted.logical || wanted.physical || wanted.physical_max) return wanted;
  return Error(Errc::invalid_argument, "grow needs \"logical\" or \"physical\"");
}

}  // namespace

Task<Result<Json>> grow_by_request(Volume& volume, Json request) {
  auto wanted = read_request(request);
  if (!wanted) co_return std::move(wanted).error();
  Result<void> done;
  if (wanted->physical || wanted->physical_max) {
    done = co_await volume.grow_physical(wanted->physical);
  }
  if (done && wanted->logical) done = co_await volume.grow_logical(*wanted->logical);
  if (!done) co_return std::move(done).error();
  co_return Json{{"logical", volume.size()},
                 {"physical", volume.super_block().config.physical_blocks * kBlockSize}};
}

}  // namespace uvdo
