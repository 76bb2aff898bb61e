// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo estimate: what data would take as a volume.
#include "estimate/estimate.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/machine_memory.h"
#include "base/print.h"
#include "base/size_text.h"
#include "base/stopwatch.h"
#include "base/store_name.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/volume_name.h"
#include "estimate/recommendation.h"
#include "format/index_geometry.h"

namespace uvdo {
namespace {

constexpr std::size_t kShownGroups = 40;
constexpr std::uint64_t kShownProblems = 20;

struct EstimateArguments {
  EstimateOptions options;
  std::string by;
  std::string memory;
  std::string sample;
  std::string index_memory;
  bool sparse = false;
  bool without_compression = false;
  bool json = false;
  unsigned threads = 0;
  std::uint64_t limit = kShownGroups;
};

std::string percent(std::uint64_t part, std::uint64_t whole) {
  const double share = whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.1f} %", share * 100);
}

std::uint64_t bytes_of(std::uint64_t blocks) { return blocks * kBlockSize; }

Json counts_json(const BlockCounts& counts) {
  return {{"dataBlocks", counts.data},
          {"holeBlocks", counts.holes},
          {"zeroBlocks", counts.zero},
          {"duplicateBlocks", counts.duplicate},
          {"uncompressedBlocks", counts.whole},
          {"compressedFragments", counts.fragments},
          {"fragmentBytes", counts.fragment_bytes}};
}

Json recommendation_json(const Recommendation& advice) {
  return {{"logicalBytes", advice.logical_bytes},
          {"physicalBytes", advice.physical_bytes},
          {"slabBits", advice.slab_bits},
          {"slabBytes", bytes_of(std::uint64_t{1} << advice.slab_bits)},
          {"indexMemory", to_text(advice.index_memory)},
          {"sparse", advice.sparse}};
}

void print_json(const Estimate& found, const Recommendation& advice, double seconds) {
  Json json = counts_json(found.counts);
  json["files"] = found.files;
  json["fileBytes"] = found.file_bytes;
  json["compressedBlocks"] = found.compressed_blocks;
  json["storedBlocks"] = found.stored_blocks;
  json["storedBytes"] = bytes_of(found.stored_blocks);
  json["marginBytes"] = bytes_of(found.margin_blocks);
  json["sampledShare"] = found.share;
  json["namesShare"] = found.names_share;
  json["indexRecords"] = found.index_records;
  json["problems"] = found.problems;
  json["seconds"] = seconds;
  json["recommendation"] = recommendation_json(advice);
  if (!found.groups.empty()) {
    Json groups = Json::array();
    for (const EstimatedGroup& group : found.groups) {
      Json one = {{"name", group.name}};
      one.update(counts_json(group.counts));
      one["storedBytes"] = group.stored_bytes;
      groups.push_back(std::move(one));
    }
    json["groups"] = std::move(groups);
  }
  if (found.problems > 0) {
    add_error(json,
              {Errc::io, fmt::format("{} files or blocks could not be read; they are left out",
                                     grouped(found.problems))});
  }
  print("{}\n", json_text(json, 2));
}

void print_line(std::string_view what, std::uint64_t blocks, std::uint64_t all) {
  print("  {:<22}{:>12}{:>9}\n", what, size_text(bytes_of(blocks)), percent(blocks, all));
}

void print_groups(std::vector<EstimatedGroup> groups, std::uint64_t limit) {
  std::ranges::stable_sort(groups, std::ranges::greater{}, &EstimatedGroup::stored_bytes);
  print("\n{:>12}{:>12}{:>9}  {}\n", "data", "stored", "saved", "where");
  for (std::size_t i = 0; i < groups.size() && i < limit; ++i) {
    const EstimatedGroup& group = groups[i];
    const std::uint64_t data = bytes_of(group.counts.data);
    print("{:>12}{:>12}{:>9}  {}\n", size_text(data), size_text(group.stored_bytes),
          percent(data - std::min(data, group.stored_bytes), data), printable(group.name));
  }
  if (groups.size() > limit) {
    print("{} more; --limit and --json show them\n", grouped(groups.size() - limit));
  }
}

/// What was not looked at.
std::string sample_text(const Estimate& found) {
  const std::string compressed =
      fmt::format("{:.2f} % of the data were compressed", found.share * 100);
  const std::string named =
      fmt::format("{:.2f} % of all names were looked at", found.names_share * 100);
  if (found.names_share >= 1) return compressed;
  return found.share >= 1 ? named : fmt::format("{}, {}", compressed, named);
}

void print_words(const EstimateArguments& arguments, const Estimate& found,
                 const Recommendation& advice, double seconds) {
  const BlockCounts& counts = found.counts;
  const std::uint64_t data = counts.data;
  print("{} read in {:.1f} s ({}/s), {} {}\n", size_text(bytes_of(data)), seconds,
        size_text(static_cast<std::uint64_t>(static_cast<double>(bytes_of(data)) /
                                             std::max(seconds, 0.001))),
        grouped(found.files), found.files == 1 ? "file or device" : "files");
  if (counts.holes > 0) print_line("holes, not counted", counts.holes, 0);
  print_line("zero blocks", counts.zero, data);
  print_line("duplicates", counts.duplicate, data);
  print_line("compressed", counts.fragments, data);
  print_line("  which become", found.compressed_blocks, data);
  print_line("not compressible", counts.whole, data);
  print_line("stored in a volume", found.stored_blocks, data);
  if (found.share < 1 || found.names_share < 1) {
    print("  give or take {} (95 % of such samples): {}\n",
          size_text(bytes_of(found.margin_blocks)), sample_text(found));
  }
  print("Saved: {} of the data\n", percent(data - std::min(data, found.stored_blocks), data));
  if (!found.groups.empty() && arguments.options.by != GroupBy::nothing) {
    print_groups(found.groups, arguments.limit);
  }
  print(
      "\nRecommended: uvdo format --size {} --logical-size {} --slab-bits {} --index-memory {}{}\n",
      exact_size_text(advice.physical_bytes).find(' ') == std::string::npos
          ? exact_size_text(advice.physical_bytes)
          : fmt::format("\"{}\"", exact_size_text(advice.physical_bytes)),
      fmt::format("\"{}\"", exact_size_text(advice.logical_bytes)), advice.slab_bits,
      to_text(advice.index_memory), advice.sparse ? " --sparse" : "");
}

/// "1:23:45", "2:05".
std::string time_text(double seconds) {
  const auto all = static_cast<std::uint64_t>(seconds);
  if (all >= 3600) return fmt::format("{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60);
  return fmt::format("{}:{:02}", all / 60, all % 60);
}

/// How fast it goes, and how long it takes still.
std::string pace_text(std::uint64_t done, std::uint64_t all, double seconds) {
  if (done == 0 || seconds <= 0) return {};
  const double rate = static_cast<double>(done) / seconds;
  const std::uint64_t left = all > done ? all - done : 0;
  return fmt::format("{}/s, {} left", size_text(static_cast<std::uint64_t>(rate)),
                     time_text(static_cast<double>(left) / rate));
}

int run_with(EstimateArguments& arguments) {
  EstimateOptions& options = arguments.options;
  Progress progress;
  const Stopwatch watch;
  std::uint64_t problems = 0;
  // Problems come from the threads that read, while this one shows how far they are.
  std::mutex terminal;
  DataUse use = DataUse::image;
  const bool told_raw = options.raw;
  options.problem = [&](const std::string& text) {
    const std::lock_guard guard(terminal);
    // All are counted; the terminal is told of the first.
    if (++problems > kShownProblems) return;
    progress.clear();
    warn(text);
  };
  options.opened = [&](const std::string& path, SourceKind kind) {
    if (kind == SourceKind::folder) use = DataUse::file_system;
    if (kind != SourceKind::volume || told_raw) return;
    print_error("uvdo: {} is a VDO volume: its contents are estimated; --raw to take its bytes\n",
                printable(path));
  };
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    const std::lock_guard guard(terminal);
    progress.show("estimate", done, all, pace_text(done, all, watch.seconds()));
  };
  auto found = estimate(options);
  progress.clear();
  if (!found) return fail(found.error());
  const double seconds = watch.seconds();
  if (found->table_was_full) {
    warn(
        "there was no room for all names, as more data were read than was foreseen: some "
        "duplicates were not seen");
  }
  if (found->names_share < 1 && options.by != GroupBy::nothing) {
    warn(
        fmt::format("only {:.2f} % of all names fit into the memory: what --by shows is rough, and "
                    "that of small files and folders says nothing; give more --memory",
                    found->names_share * 100));
  }
  auto advice = recommend(*found, use);
  if (!advice) return fail(advice.error());
  if (arguments.json) {
    print_json(*found, *advice, seconds);
    return found->problems > 0 ? kExitFailed : kExitOk;
  }
  print_words(arguments, *found, *advice, seconds);
  if (found->problems == 0) return kExitOk;
  return fail(fmt::format("{} files or blocks could not be read; they are left out",
                          grouped(found->problems)));
}

/// "5%", "5" and "0.05%" as shares of one.
Result<double> parse_share(std::string text) {
  if (text.ends_with('%')) text.pop_back();
  char* end = nullptr;
  const double percents = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(percents > 0) || percents > 100) {
    return Error(Errc::invalid_argument,
                 fmt::format("--sample {}: a percentage above 0 and up to 100 is needed", text));
  }
  return percents / 100;
}

/// A word as a path: volumes have names, and block devices numbers.
Result<std::string> path_of_word(const std::string& word) {
  std::error_code unknown;
  if (!is_path(word) || std::filesystem::is_directory(word, unknown)) return word;
  return volume_path(word, VolumeUse::tell);
}

Result<void> take_words(EstimateArguments& arguments) {
  EstimateOptions& options = arguments.options;
  if (arguments.by == "file") options.by = GroupBy::file;
  if (arguments.by == "folder") options.by = GroupBy::folder;
  options.compression = !arguments.without_compression;
  options.threads = arguments.threads != 0 ? arguments.threads
                                           : std::max(1U, std::thread::hardware_concurrency());
  // A quarter of what there is: others are at work here, too.
  options.memory = std::max(EstimateOptions::kLeastMemory, available_memory().bytes / 4);
  if (!arguments.memory.empty()) {
    auto bytes = parse_size(arguments.memory);
    if (!bytes) return std::move(bytes).error().within("--memory");
    if (*bytes < EstimateOptions::kLeastMemory) {
      return Error(Errc::invalid_argument, fmt::format("--memory: {} are needed at least",
                                                       size_text(EstimateOptions::kLeastMemory)));
    }
    options.memory = *bytes;
  }
  if (!arguments.sample.empty()) {
    if (options.by != GroupBy::nothing) {
      return Error(Errc::invalid_argument,
                   "--by needs all names: a sample says too little about single files or folders; "
                   "leave out --sample or --by");
    }
    auto share = parse_share(arguments.sample);
    if (!share) return std::move(share).error();
    options.share = *share;
  }
  if (!arguments.index_memory.empty()) {
    auto memory = parse_index_memory(arguments.index_memory);
    if (!memory) return std::move(memory).error();
    auto geometry = compute_index_geometry(*memory, arguments.sparse);
    if (!geometry) return std::move(geometry).error();
    options.window = {geometry->chapters, geometry->records_per_chapter};
  }
  return {};
}

}  // namespace

int run_estimate(int argc, char** argv) {
  EstimateArguments arguments;
  EstimateOptions& options = arguments.options;
  Arguments app("Tells what data would take as a volume. Nothing is written.", "uvdo estimate");
  app.option("PATH", options.paths,
             "files, folders, disks, raw or qcow2 images, URIs (nbd://, rbd:), stopped VDO volumes")
      .required()
      .transform(path_of_word);
  app.option("--by", arguments.by, "show it for each: file, or folder at the top")
      .one_of({"file", "folder"});
  app.option("--limit", arguments.limit, "lines of --by").show_default();
  app.option("--sample", arguments.sample,
             "compress so many per cent of the data: faster, with a margin of error");
  app.option("--memory", arguments.memory,
             "memory for names; what does not fit makes a sample of them (default: a quarter of "
             "what is free)");
  auto index = app.option("--index-memory", arguments.index_memory,
                          "find duplicates only as far back as an index of this size does: 0.25, "
                          "0.5, 0.75, 1 ... (default: all)");
  app.flag("--sparse", arguments.sparse, "that index is sparse").needs(index);
  app.flag("--no-compression", arguments.without_compression, "the volume does not compress");
  app.flag("--raw", options.raw,
           "take the bytes of VDO volumes and qcow2 images, not their contents");
  app.flag("--cross-file-systems", options.cross_file_systems,
           "enter file systems that are mounted in a folder");
  app.option("--threads", arguments.threads, "default: one for each processor").range(1, 1024);
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (auto taken = take_words(arguments); !taken) return usage_error(taken.error().message());
  return run_with(arguments);
}

}  // namespace uvdo
