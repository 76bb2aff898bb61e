// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo bench: measures the engine in memory, or on a disk of the user's.
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "async/uring_loop.h"
#include "base/json.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "device/backing_name.h"
#include "workload/workload_runner.h"

namespace uvdo {
namespace {

struct BenchArguments {
  std::string path;
  std::string size = "12G";
  std::string set_size = "1G";
  std::vector<std::string> workloads;
  std::vector<unsigned> depths;
  BenchSettings settings;
  bool destroy = false;
  bool json = false;
  bool list = false;
};

/// The workloads that were asked for; without a list all that fit the place.
Result<std::vector<Workload>> chosen_workloads(const BenchArguments& arguments) {
  std::vector<Workload> chosen;
  for (const std::string& name : arguments.workloads) {
    const Workload* found = find_workload(name);
    if (found == nullptr) {
      return Error(Errc::invalid_argument,
                   fmt::format("there is no workload \"{}\"; see uvdo bench --list", name));
    }
    chosen.push_back(*found);
  }
  if (!chosen.empty()) return chosen;
  for (const Workload& workload : workloads()) {
    // The raw device is memory without a path: nothing to compare with.
    const bool is_raw = workload.name.starts_with("raw-");
    if (workload.only_by_name || (is_raw && arguments.path.empty())) continue;
    chosen.push_back(workload);
  }
  return chosen;
}

// A device is not overwritten by a slip: --destroy has to be said. Directories lose nothing.
Result<void> check_place(const BenchArguments& arguments) {
  if (arguments.path.empty() || std::filesystem::is_directory(arguments.path)) return {};
  if (!std::filesystem::is_block_file(arguments.path)) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} is neither a directory, for a scratch file, nor a block device",
                             arguments.path));
  }
  if (arguments.destroy) return {};
  return Error(Errc::invalid_argument,
               fmt::format("everything on {} would be lost; add --destroy if that is meant",
                           arguments.path));
}

Result<BenchSettings> settings_of(const BenchArguments& arguments) {
  BenchSettings settings = arguments.settings;
  settings.path = arguments.path;
  auto size = parse_size(arguments.size);
  if (!size) return std::move(size).error();
  auto set_size = parse_size(arguments.set_size);
  if (!set_size) return std::move(set_size).error();
  constexpr std::uint64_t kSmallestSet = 256ULL << 20U;
  constexpr std::uint64_t kRoomBesidesSet = 6ULL << 30U;
  if (*set_size < kSmallestSet || *set_size > (4ULL << 30U)) {
    return Error(Errc::invalid_argument,
                 fmt::format("--set-size {} is not between 256M and 4G", arguments.set_size));
  }
  if (*size < *set_size + kRoomBesidesSet) {
    return Error(Errc::invalid_argument,
                 fmt::format("--size {} is too small: the index, a set of {} and new data need {}",
                             arguments.size, exact_size_text(*set_size),
                             exact_size_text(*set_size + kRoomBesidesSet)));
  }
  settings.device_bytes = *size / kBlockSize * kBlockSize;
  settings.set_bytes = *set_size >> 27U << 27U;  // whole 128 MiB, as long as discards of it are
  return settings;
}

Task<Result<void>> run_all(UringLoop& loop, BenchSettings settings,
                           const std::vector<Workload>& chosen, const std::vector<unsigned>& depths,
                           bool json) {
  auto list = Json::array();
  if (!json) print("{}\n", figures_header());
  for (const Workload& workload : chosen) {
    // A workload with a depth of its own is run once, the others once for each depth.
    const std::size_t runs = workload.depth == 0 ? depths.size() : 1;
    for (std::size_t i = 0; i < runs; ++i) {
      settings.depth = depths[i];
      WorkloadRunner runner(loop, settings);
      auto figures = co_await runner.run(workload);
      if (!figures) {
        co_return std::move(figures).error().within(fmt::format("workload {}", workload.name));
      }
      if (json) {
        list.push_back(to_json(*figures));
      } else {
        print("{}\n", figures_line(*figures));
        // Lines come when they are measured, into a pipe too.
        std::fflush(stdout);
      }
    }
  }
  if (json) print("{}\n", json_text(list, 2));
  co_return Result<void>();
}

}  // namespace

int run_bench(int argc, char** argv) {
  BenchArguments arguments;
  Arguments app("Measures how fast volumes are: in memory, or on a disk.", "uvdo bench");
  app.option("PATH", arguments.path,
             "a directory, for a scratch file that is removed again, or a block device whose "
             "content is lost (also as MAJOR:MINOR); memory if left out")
      .transform(backing_store_path);
  app.option("--workloads", arguments.workloads,
             "what to run; all that do not take long if left out")
      .one_value_each()
      .delimiter(',');
  app.option("--depth", arguments.depths, "requests in flight; several for a series")
      .one_value_each()
      .delimiter(',')
      .range(1, 4096)
      .show_default("256");
  app.option("--blocks", arguments.settings.blocks, "blocks of a workload, about")
      .range(1000, 1'000'000)
      .show_default();
  app.option("--size", arguments.size, "size of the scratch file or memory").show_default();
  app.option("--set-size", arguments.set_size, "data that are there before most workloads")
      .show_default();
  app.option("--index-records", arguments.settings.index_records,
             "records put into the index first; 66000000 fill it")
      .show_default();
  app.flag("!--no-deduplication", arguments.settings.deduplication, "deduplication off");
  app.flag("--destroy", arguments.destroy, "write to the block device PATH");
  app.flag("--json", arguments.json, "print JSON");
  app.flag("--list", arguments.list, "print the workloads and what they do");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (arguments.depths.empty()) arguments.depths = {arguments.settings.depth};

  if (arguments.list) {
    for (const Workload& workload : workloads()) {
      print("{:<16} {}\n", workload.name, workload.summary);
    }
    return kExitOk;
  }
  auto chosen = chosen_workloads(arguments);
  if (!chosen) return usage_error(chosen.error().message());
  if (auto allowed = check_place(arguments); !allowed)
    return usage_error(allowed.error().message());
  auto settings = settings_of(arguments);
  if (!settings) return usage_error(settings.error().message());
  auto loop = UringLoop::create();
  if (!loop) return fail(loop.error());
  Result<void> done;
  (*loop)->run([](UringLoop& executor, const BenchSettings& with, const std::vector<Workload>& what,
                  const BenchArguments& how, Result<void>& result) -> Task<void> {
    result = co_await run_all(executor, with, what, how.depths, how.json);
  }(**loop, *settings, *chosen, arguments, done));
  return done ? kExitOk : fail(done.error());
}

}  // namespace uvdo
