// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo grow: makes a volume larger, through its server while it is in use, by itself otherwise.
#include "manage/grow.h"

#include <string>
#include <vector>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/question.h"
#include "cli/served_volume.h"

namespace uvdo {
namespace {

struct GrowArguments {
  ServedVolumeOptions served;
  std::string logical;
  std::string physical;
  bool yes = false;
  bool json = false;
};

/// What is to grow; at least one size is named.
Result<GrowthRequest> read_sizes(const GrowArguments& arguments) {
  GrowthRequest request;
  if (!arguments.logical.empty()) {
    auto size = parse_size(arguments.logical);
    if (!size) return std::move(size).error().within("--logical");
    request.logical_bytes = *size;
  }
  if (arguments.physical == PhysicalTarget::kMax) {
    request.physical_max = true;
  } else if (!arguments.physical.empty()) {
    auto size = parse_size(arguments.physical);
    if (!size) return std::move(size).error().within("--physical");
    request.physical_bytes = *size;
  }
  if (request.logical_bytes || request.physical_bytes || request.physical_max) return request;
  return Error(Errc::invalid_argument, "say what is to grow: --logical SIZE, --physical SIZE|max");
}

void print_sizes(const GrowArguments& arguments, const GrowthAnswer& sizes,
                 const std::vector<std::string>& smaller) {
  if (arguments.json) {
    print("{}\n", json_text({{"volume", arguments.served.volume},
                             {"logicalBytes", sizes.logical},
                             {"physicalBytes", sizes.physical},
                             {"changed", sizes.changed},
                             {"smallerDevices", smaller}},
                            2));
    return;
  }
  print("{}{} has a logical size of {} and a physical size of {}{}\n",
        sizes.changed ? "" : "nothing to do: ", arguments.served.volume,
        exact_size_text(sizes.logical), exact_size_text(sizes.physical),
        sizes.changed ? "" : " already");
  for (const std::string& device : smaller) {
    print(
        "{0} keeps its size, which Linux can change in use from 6.16 on only: when nobody uses it, "
        "uvdo detach {0} and attach it again; devices of --as nbd grow in use\n",
        device);
  }
}

}  // namespace

int run_grow(int argc, char** argv) {
  GrowArguments arguments;
  Arguments app("Makes a volume larger: what it offers, what it takes on its disk, or both.",
                "uvdo grow");
  add_volume_argument(app, arguments.served.volume);
  app.option("--logical", arguments.logical, "the new size of the device that clients see");
  app.option("--physical", arguments.physical,
             "how much of its file or block device the volume takes from now on, or max");
  arguments.served.add_server_to(app);
  app.flag("-y,--yes", arguments.yes,
           "do not ask about a logical size of more than 100 times the room for data");
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto request = read_sizes(arguments);
  if (!request) return usage_error(request.error().message());
  GrowOptions options{arguments.served.given(), *request};
  if (!arguments.yes) {
    options.may_offer = [](std::uint64_t logical, std::uint64_t room) {
      return may_offer(logical, room, false);
    };
  }
  auto sizes = grow_volume(options);
  if (!sizes) return fail(sizes.error());
  print_sizes(arguments, *sizes, devices_that_keep_their_size(options.volume, sizes->logical));
  return kExitOk;
}

}  // namespace uvdo
