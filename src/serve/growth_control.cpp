// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/growth_control.h"

#include <optional>

#include <fmt/format.h>

namespace uvdo {
namespace {

using Json = ControlServer::Json;

struct Wanted {
  std::optional<std::uint64_t> logical;
  std::optional<std::uint64_t> physical;
  bool physical_max = false;
};

Result<Wanted> read_request(const Json& request) {
  Wanted wanted;
  for (const auto& [key, value] : request.items()) {
    if (key == "uvdo" || key == "command") continue;
    const bool is_size = value.is_number_unsigned();
    if (key == "logical" && is_size) {
      wanted.logical = value.get<std::uint64_t>();
    } else if (key == "physical" && is_size) {
      wanted.physical = value.get<std::uint64_t>();
    } else if (key == "physical" && value == "max") {
      wanted.physical_max = true;
    } else if (key == "logical" || key == "physical") {
      return Error(Errc::invalid_argument, fmt::format("\"{}\" is a number of bytes{}", key,
                                                       key == "physical" ? " or \"max\"" : ""));
    } else {
      return Error(
          Errc::invalid_argument,
          fmt::format("\"{}\" does not belong to grow; \"logical\" and \"physical\" do", key));
    }
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
