// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo grow: makes a volume larger, through its server while it is in use, by itself otherwise.
#include <optional>
#include <string>

#include "async/uring_loop.h"
#include "base/machine_memory.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/question.h"
#include "cli/served_volume.h"
#include "control/growth_message.h"
#include "control/server_messages.h"
#include "device/open_device.h"
#include "volume/growth.h"

namespace uvdo {
namespace {

struct GrowArguments : ServedVolume {
  std::string logical;
  std::string physical;
  bool yes = false;
  bool json = false;
};

Result<GrowthRequest> read_sizes(const GrowArguments& arguments) {
  GrowthRequest request;
  if (!arguments.logical.empty()) {
    auto size = parse_size(arguments.logical);
    if (!size) return std::move(size).error().within("--logical");
    request.logical_bytes = *size;
  }
  if (arguments.physical == "max") {
    request.physical_max = true;
  } else if (!arguments.physical.empty()) {
    auto size = parse_size(arguments.physical);
    if (!size) return std::move(size).error().within("--physical");
    request.physical_bytes = *size;
  }
  if (request.logical_bytes || request.physical_bytes || request.physical_max) return request;
  return Error(Errc::invalid_argument, "say what is to grow: --logical SIZE, --physical SIZE|max");
}

void print_sizes(const GrowArguments& arguments, const GrowthAnswer& sizes) {
  if (arguments.json) {
    print("{}\n", json_text({{"volume", arguments.volume},
                             {"logicalBytes", sizes.logical},
                             {"physicalBytes", sizes.physical},
                             {"changed", sizes.changed}},
                            2));
    return;
  }
  print("{}{} has a logical size of {} and a physical size of {}{}\n",
        sizes.changed ? "" : "nothing to do: ", arguments.volume, exact_size_text(sizes.logical),
        exact_size_text(sizes.physical), sizes.changed ? "" : " already");
}

/// The room for data that a volume in use will have about; 0 if its server does not say.
std::uint64_t room_after(const GrowArguments& arguments, const GrowthRequest& request) {
  auto info = arguments.ask(InfoRequest());
  if (!info || !info->contains("slabs")) return 0;
  const Json& slabs = (*info)["slabs"];
  const std::uint64_t room =
      slabs.value("count", std::uint64_t{0}) * slabs.value("dataBlocks", std::uint64_t{0});
  const std::uint64_t now = info->value("physicalBlocks", std::uint64_t{0});
  std::uint64_t then = now;
  if (request.physical_bytes) then = *request.physical_bytes / kBlockSize;
  if (request.physical_max) then = info->value("deviceBytes", std::uint64_t{0}) / kBlockSize;
  return (room + (then > now ? then - now : 0)) * kBlockSize;
}

Task<void> grow_stopped(UringLoop& loop, const GrowArguments& arguments, GrowthRequest request,
                        int& status) {
  auto device = open_device(loop, arguments.volume, OpenMode::read_write);
  if (!device) {
    status = fail(device.error());
    co_return;
  }
  auto headers = co_await read_volume_headers(**device);
  if (!headers) {
    status = fail(headers.error());
    co_return;
  }
  if (auto sizes = grown_super_block(*headers, **device, request); sizes) {
    const SlabDepotState& depot = sizes->depot;
    const std::uint64_t room = depot.slab_count() * depot.slab.data_blocks * kBlockSize;
    const bool grows = sizes->config.logical_blocks > headers->super_block.config.logical_blocks;
    if (grows && !may_offer(*request.logical_bytes, room, arguments.yes)) {
      status = fail(Error(Errc::cancelled, "nothing was changed"));
      co_return;
    }
  }
  auto grown = co_await grow_stopped_volume(**device, *headers, request, available_memory());
  if (!grown) {
    status = fail(std::move(grown).error().within(arguments.volume));
    co_return;
  }
  print_sizes(arguments,
              {grown->config.logical_blocks * kBlockSize,
               grown->config.physical_blocks * kBlockSize, *grown != headers->super_block});
  status = kExitOk;
}

/// Nothing if the volume is not being served.
std::optional<int> grow_served(const GrowArguments& arguments, const GrowthRequest& request) {
  // What no volume can have the server refuses, and nobody needs to be asked.
  const bool is_possible =
      request.logical_bytes && *request.logical_bytes <= kMaxLogicalBlocks * kBlockSize;
  if (is_possible && !arguments.yes &&
      !may_offer(*request.logical_bytes, room_after(arguments, request), false)) {
    return fail(Error(Errc::cancelled, "nothing was changed"));
  }
  auto answer = arguments.ask(GrowthMessage(request));
  if (!answer) {
    if (answer.error().code() == Errc::not_found) return std::nullopt;
    return fail(std::move(answer).error().within(arguments.volume));
  }
  print_sizes(arguments, *answer);
  return kExitOk;
}

}  // namespace

int run_grow(int argc, char** argv) {
  GrowArguments arguments;
  Arguments app("Makes a volume larger: what it offers, what it takes on its disk, or both.",
                "uvdo grow");
  add_volume_argument(app, arguments.volume);
  app.option("--logical", arguments.logical, "the new size of the device that clients see");
  app.option("--physical", arguments.physical,
             "how much of its file or block device the volume takes from now on, or max");
  arguments.add_server_to(app);
  app.flag("-y,--yes", arguments.yes,
           "do not ask about a logical size of more than 100 times the room for data");
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto request = read_sizes(arguments);
  if (!request) return usage_error(request.error().message());
  if (auto status = grow_served(arguments, *request)) return *status;
  auto loop = UringLoop::create();
  if (!loop) return fail(loop.error());
  int status = kExitFailed;
  (*loop)->run(grow_stopped(**loop, arguments, *request, status));
  return status;
}

}  // namespace uvdo
