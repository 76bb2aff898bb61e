// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo rebuild: makes a volume writable again that an error has left read-only, after it has said
// what that would cost.
#include "recovery/rebuild.h"

#include <string>

#include <fmt/core.h>

#include "async/uring_loop.h"
#include "base/file_checks.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/open_volume.h"
#include "control/error_json.h"
#include "device/open_device.h"
#include "format/journal_view.h"
#include "format/slab_layout.h"
#include "index/bounded_memory_index.h"
#include "volume/super_block_store.h"
#include "volume/volume.h"
#include "volume/volume_headers.h"

namespace uvdo {
namespace {

struct RebuildArguments {
  std::string volume;
  bool dry_run = false;
  bool yes = false;
  bool force = false;
  bool json = false;
};

void print_count(std::uint64_t count, std::string_view what) {
  if (count > 0) print("  {} {}\n", grouped(count), what);
}

void print_report(const RebuildReport& report) {
  for (const std::string& line : report.details) print("  {}\n", line);
  print(
      "A rebuild keeps {} logical blocks in {} data blocks, and applies {} journal "
      "entries.\n",
      grouped(report.logical_blocks_used), grouped(report.data_blocks_used),
      grouped(report.journal_entries));
  if (report.losses() == 0) {
    print("Nothing would be lost.\n");
    return;
  }
  print("It would give up:\n");
  print_count(report.journal_blocks_skipped, "journal blocks that are missing or damaged");
  print_count(report.journal_entries_skipped, "journal entries that are not valid");
  print_count(report.pages_lost, "block map pages (each maps up to 812 blocks) that are damaged");
  print_count(report.subtrees_cleared, "entries of the block map that lead to no page");
  print_count(report.invalid_mappings, "logical blocks whose mapping makes no sense");
  print_count(report.over_referenced, "logical blocks that share a block that cannot be shared");
}

Json report_json(const RebuildReport& report) {
  return {{"logicalBlocksUsed", report.logical_blocks_used},
          {"dataBlocksUsed", report.data_blocks_used},
          {"blockMapBlocks", report.block_map_blocks},
          {"journalEntries", report.journal_entries},
          {"losses", report.losses()},
          {"lost",
           {{"journalBlocks", report.journal_blocks_skipped},
            {"journalEntries", report.journal_entries_skipped},
            {"blockMapPages", report.pages_lost},
            {"subtrees", report.subtrees_cleared},
            {"invalidMappings", report.invalid_mappings},
            {"overReferenced", report.over_referenced}}},
          {"details", report.details}};
}

/// Tells how it has ended: whether the volume was rebuilt, or why not. With --json that and the
/// report are one object.
int tell_end(const RebuildArguments& arguments, VolumeState before, const RebuildReport& report,
             const Result<bool>& rebuilt) {
  if (!arguments.json) {
    if (!rebuilt) return fail(rebuilt.error());
    if (*rebuilt) print("{} is writable again.\n", arguments.volume);
    return kExitOk;
  }
  Json json = {{"volume", arguments.volume},
               {"state", std::string(name_of(before))},
               {"dryRun", arguments.dry_run},
               {"rebuilt", rebuilt && *rebuilt},
               {"report", report_json(report)}};
  if (!rebuilt) {
    warn(rebuilt.error().message());
    json["error"] = error_json(rebuilt.error());
  }
  print("{}\n", json_text(json, 2));
  return rebuilt ? kExitOk : kExitFailed;
}

/// What a rebuild writes, and where its file has no room for that yet.
class RebuildWrites {
 public:
  RebuildWrites(const BackingStore& device, const VolumeHeaders& headers)
      : device_(device), headers_(headers) {
    writes_.end = headers.geometry.device_byte(Pbn{headers.super_block.config.physical_blocks});
  }

  Result<PlannedWrites> plan() {
    const SuperBlock& super = headers_.super_block;
    for (const PartitionId id : {PartitionId::recovery_journal, PartitionId::slab_summary}) {
      const Partition partition = super.find(id);
      add(partition.start, partition.blocks);
    }
    const SlabLayout slabs(super.depot);
    const std::uint64_t data = slabs.data_blocks();
    for (SlabNumber slab = 0; slab < slabs.slab_count(); ++slab) {
      add(slabs.journal_block_at(slab, 0), super.depot.slab.slab_journal_blocks);
      // Of a slab that was never used no counts are written.
      if (holes(slabs.slab_start(slab), data) == data * kBlockSize) continue;
      add(slabs.reference_block(slab, 0), super.depot.slab.reference_count_blocks);
    }
    writes_.all_holes = told(device_.holes(0, writes_.end));
    if (!failed_) return std::move(failed_).error();
    return writes_;
  }

 private:
  void add(Pbn first, std::uint64_t blocks) {
    writes_.bytes += blocks * kBlockSize;
    writes_.holes += holes(first, blocks);
  }
  std::uint64_t holes(Pbn first, std::uint64_t blocks) {
    return told(device_.holes(headers_.geometry.device_byte(first), blocks * kBlockSize));
  }
  std::uint64_t told(Result<std::uint64_t> bytes) {
    if (bytes) return *bytes;
    failed_ = std::move(bytes).error();
    return 0;
  }

  const BackingStore& device_;
  const VolumeHeaders& headers_;
  PlannedWrites writes_;
  Result<void> failed_;
};

/// Nothing is begun that would have to be broken off half-way.
Result<void> check_room(const BackingStore& device, const VolumeHeaders& headers) {
  auto state = device.look();
  if (!state) return std::move(state).error();
  if (!state->is_file) return {};
  auto writes = RebuildWrites(device, headers).plan();
  if (!writes) return std::move(writes).error();
  constexpr std::uint64_t kForTheFileSystem = 1U << 20U;
  const std::uint64_t needed = room_for(*writes, *state);
  if (needed > 0 && needed + kForTheFileSystem > state->free) {
    return Error(Errc::no_space,
                 fmt::format("it writes up to {} to places for which there is no room yet, and the "
                             "file system has {} free; make room there first",
                             size_text(needed + kForTheFileSystem), size_text(state->free)));
  }
  return check_file_size_limit(device.name(), writes->end);
}

/// What the rebuild would do, without changing anything.
Task<Result<RebuildReport>> survey(Executor& executor, Device& device, VolumeHeaders headers) {
  RebuildOptions options;
  options.dry_run = true;
  co_return co_await rebuild_volume(executor, device, headers.geometry, headers.super_block,
                                    options);
}

/// Marks the volume for a rebuild, which then any start does, and starts and stops it.
Task<Result<void>> rebuild(Executor& executor, BackingStore& device, VolumeHeaders headers,
                           bool json) {
  if (headers.super_block.state != VolumeState::rebuild_for_upgrade) {
    headers.super_block.state = VolumeState::force_rebuild;
    auto marked = co_await write_super_block(
        device, headers.geometry.device_byte(headers.geometry.data_start), headers.super_block);
    if (!marked) co_return marked;
  }
  VolumeOptions options;
  options.block_map_cache_pages = 4096;
  IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
    return std::make_unique<BoundedMemoryIndex>(1024);
  };
  std::function<void(std::string)> log = [json](const std::string& line) {
    json ? print_error("{}\n", line) : print("{}\n", line);
  };
  auto volume = co_await Volume::open(executor, device, options, factory, log);
  if (!volume) co_return std::move(volume).error();
  Result<void> done;
  if ((*volume)->is_read_only()) done = (*volume)->notifier().error();
  auto stopped = co_await (*volume)->stop();
  if (done) done = std::move(stopped);
  co_return done;
}

Error not_begun(const Error& why) { return why.within("the rebuild was not begun"); }

Task<void> run(UringLoop& loop, const RebuildArguments& arguments, int& status) {
  const OpenMode mode = arguments.dry_run ? OpenMode::read_only : OpenMode::read_write;
  auto device = open_device(loop, arguments.volume, mode);
  if (!device) {
    status = fail(device.error());
    co_return;
  }
  auto headers = co_await read_volume_headers(**device);
  if (!headers) {
    status = fail(headers.error());
    co_return;
  }
  const VolumeState state = headers->super_block.state;
  if (!needs_rebuild(state) && !arguments.force) {
    status = fail(fmt::format("{} is in state {} ({}) and needs no rebuild; --force does one "
                              "all the same",
                              arguments.volume, name_of(state), explain(state)),
                  Errc::invalid_argument);
    co_return;
  }
  auto report = co_await survey(loop, **device, *headers);
  if (!report) {
    const Error why = arguments.dry_run ? std::move(report).error() : not_begun(report.error());
    status = fail(why.within(arguments.volume));
    co_return;
  }
  if (!arguments.json) print_report(*report);
  Result<bool> rebuilt = !arguments.dry_run;
  if (report->losses() > 0 && !arguments.yes && !arguments.dry_run) {
    rebuilt = Error(Errc::corrupt,
                    "the rebuild was not begun, because it would lose what is listed above; copy "
                    "what can still be read first (uvdo export), then add --yes");
  } else if (!arguments.dry_run) {
    auto has_room = check_room(**device, *headers);
    if (!has_room) {
      rebuilt = not_begun(has_room.error()).within(arguments.volume);
    } else {
      auto done = co_await rebuild(loop, **device, *headers, arguments.json);
      if (!done) rebuilt = done.error().within(arguments.volume);
    }
  }
  status = tell_end(arguments, state, *report, rebuilt);
}

}  // namespace

int run_rebuild(int argc, char** argv) {
  RebuildArguments arguments;
  Arguments app("Rebuilds a volume that an error has left read-only: counts all references anew.",
                "uvdo rebuild");
  add_volume_argument(app, arguments.volume);
  app.flag("-n,--dry-run", arguments.dry_run, "only say what would be lost");
  app.flag("-y,--yes", arguments.yes, "go on although something is lost");
  app.flag("--force", arguments.force,
           "also a volume that is not in read-only mode: what its journal cannot tell any "
           "more is given up");
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto loop = UringLoop::create();
  if (!loop) return fail(loop.error());
  int status = kExitFailed;
  (*loop)->run(run(**loop, arguments, status));
  return status;
}

}  // namespace uvdo
