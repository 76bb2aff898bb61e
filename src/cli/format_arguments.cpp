// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/format_arguments.h"

#include <bit>
#include <chrono>

#include <fmt/core.h>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/advice.h"
#include "cli/question.h"
#include "format/index_geometry.h"
#include "format/uuid_text.h"
#include "watch/volume_description.h"

namespace uvdo {
namespace {

constexpr unsigned kSmallestSlabBits = 8;  // of old tools; good for small test volumes

Result<Uuid> make_uuid(const std::string& text) {
  if (text.empty()) return random_uuid();
  if (const auto uuid = uuid_of(text)) return *uuid;
  return Error(Errc::invalid_argument, fmt::format("\"{}\" is no UUID", text));
}

Result<unsigned> parse_slab_bits(const FormatArguments& arguments) {
  if (arguments.slab_size.empty()) return arguments.slab_bits;
  auto bytes = parse_size(arguments.slab_size);
  if (!bytes) return std::move(bytes).error();
  const std::uint64_t blocks = *bytes / kBlockSize;
  if (*bytes % kBlockSize != 0 || !std::has_single_bit(blocks)) {
    return Error(
        Errc::invalid_argument,
        fmt::format("a slab size of {} is not possible: use a power of two from 32M to 32G",
                    arguments.slab_size));
  }
  return static_cast<unsigned>(std::countr_zero(blocks));
}

/// For people who are used to vdoformat: a number alone is bytes here, as everywhere in uvdo.
std::string unit_hint(const std::string& size) {
  if (!has_no_unit(size)) return "";
  return fmt::format(" (a number alone is bytes: write {}M for megabytes)", size);
}

/// Everything that can be wrong with the arguments alone.
Result<FormatRequest> make_request(const FormatArguments& arguments) {
  FormatRequest request;
  auto bits = parse_slab_bits(arguments);
  if (!bits) return std::move(bits).error();
  request.slab_bits = *bits;
  // uvdo takes the sizes that older tools took, too (behaviour.md, 1).
  request.small_slabs = true;
  if (*bits < kSmallestSlabBits || *bits > kMaxSlabBits) {
    return Error(Errc::invalid_argument, fmt::format("{} slab bits are not possible: use {} to {}",
                                                     *bits, kMinSlabBits, kMaxSlabBits));
  }
  auto memory = parse_index_memory(arguments.index_memory);
  if (!memory) return std::move(memory).error();
  request.index_memory = *memory;
  request.sparse = arguments.sparse;
  if (!arguments.logical_size.empty()) {
    auto logical = parse_size(arguments.logical_size);
    if (!logical) return std::move(logical).error();
    if (*logical == 0 || *logical % kBlockSize != 0 || *logical / kBlockSize > kMaxLogicalBlocks) {
      return Error(Errc::invalid_argument,
                   fmt::format("a logical size of {} is not possible: use a multiple of 4096 bytes "
                               "up to 4P{}",
                               arguments.logical_size, unit_hint(arguments.logical_size)));
    }
    request.logical_bytes = *logical;
  }
  auto uuid = make_uuid(arguments.uuid);
  if (!uuid) return std::move(uuid).error();
  request.uuid = *uuid;
  // The nonce: microseconds since 1970 (behaviour.md, 2).
  using std::chrono::duration_cast;
  request.nonce = static_cast<std::uint64_t>(
      duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  return request;
}

void print_made(const std::string& path, const VolumeLayout& layout, bool verbose) {
  const SuperBlock& super = layout.super_block;
  const SlabConfig& slab = super.depot.slab;
  const auto line = [](std::string_view label, const std::string& value) {
    print("  {:<15} {}\n", label, value);
  };
  const auto blocks = [](std::uint64_t n) {
    return fmt::format("{} ({} blocks)", exact_size_text(n * kBlockSize), grouped(n));
  };
  const std::uint64_t slabs = super.depot.slab_count();
  print("New volume on {}\n", path);
  line("logical size", blocks(super.config.logical_blocks));
  line("physical size", blocks(super.config.physical_blocks));
  line("room for data",
       fmt::format("{} in {} slab{} of {}", size_text(room_for_data(super)), slabs,
                   slabs == 1 ? "" : "s", size_text(slab.slab_blocks * kBlockSize)));
  line("can grow to", fmt::format("{} ({} slabs)",
                                  size_text(kMaxSlabs * slab.slab_blocks * kBlockSize), kMaxSlabs));
  std::string remembers;
  const VolumeGeometry& geometry = layout.geometry;
  if (auto index = compute_index_geometry(geometry.index_memory, geometry.sparse)) {
    const std::uint64_t window = index->chapters * index->records_per_chapter;
    remembers =
        fmt::format(", remembers the last {} of different data", size_text(window * kBlockSize));
  }
  line("index", fmt::format("{} GB of memory, {}{}", to_text(geometry.index_memory),
                            geometry.sparse ? "sparse" : "dense", remembers));
  line("UUID", to_text(geometry.uuid));
  if (!verbose) return;
  line("nonce", fmt::format("{}", geometry.nonce));
  line("index region", fmt::format("at block {}, {}", geometry.index_start.value(),
                                   blocks(geometry.index_blocks())));
  line("super block", fmt::format("at block {}", geometry.data_start.value()));
  for (const Partition& partition : super.layout.partitions) {
    line(name_of(partition.id),
         fmt::format("at block {}, {}", partition.start.value(), blocks(partition.blocks)));
  }
  line("each slab",
       fmt::format("{} data, {} reference count and {} journal blocks", slab.data_blocks,
                   slab.reference_count_blocks, slab.slab_journal_blocks));
}

}  // namespace

void FormatArguments::add_to(Arguments& app) {
  app.option("--size", size, "create DEVICE as a sparse file of this size");
  app.option("--logical-size", logical_size,
             "size of the device that users see (default: what surely fits)");
  auto bits = app.option("--slab-bits", slab_bits, "slabs of 2^N blocks: 13 (32M) to 23 (32G)")
                  .show_default();
  app.option("--slab-size", slab_size, "the same as a size: 32M to 32G").excludes(bits);
  app.option("--index-memory,--uds-memory-size", index_memory,
             "memory of the deduplication index in GB: 0.25, 0.5, 0.75, 1 to 1024")
      .show_default();
  app.flag("--sparse-index,--uds-sparse", sparse,
           "an index that remembers ten times as much, on ten times the space");
  app.option("--uuid", uuid, "the volume's UUID (default: a random one)");
  app.flag("--preallocate", preallocate,
           "take the room for the whole file now, so that its file system cannot run out of it");
  app.flag("--force", force, "overwrite what DEVICE holds");
  app.flag("-y,--yes", yes,
           "do not ask about a logical size of more than 100 times the room for data");
  const auto layout = app.flag("-v,--verbose", verbose, "show the layout, too");
  app.flag("--json", json, "print JSON: what uvdo info tells").excludes(layout);
}

Result<FormatOptions> FormatArguments::read() const {
  FormatOptions options;
  auto request = make_request(*this);
  if (!request) return std::move(request).error();
  options.path = device;
  options.request = *request;
  options.force = force;
  options.preallocate = preallocate;
  options.advise = advice_on;
  options.warn_of_memory = [](std::uint64_t needed, const MachineMemory& available) {
    print_error(
        "uvdo: warning: to be served here it needs a smaller --cache, or smaller --buffers: with "
        "the usual ones it takes up to {} of memory, and {} is {}\n",
        size_text(needed), available.limit, size_text(available.bytes));
  };
  options.may_offer = [is_sure = yes](std::uint64_t logical, std::uint64_t room) {
    return may_offer(logical, room, is_sure);
  };
  if (size.empty()) return options;
  auto bytes = parse_size(size);
  if (!bytes) return std::move(bytes).error();
  if (*bytes == 0 || *bytes > kMaxPhysicalBlocks * kBlockSize) {
    return Error(Errc::invalid_argument,
                 fmt::format("a size of {} is not possible: use up to 256T", size));
  }
  options.file_bytes = *bytes;
  return options;
}

void FormatArguments::print(const MadeVolume& made) const {
  print_made(device, made.layout, verbose);
  if (!made.promise) return;
  uvdo::print(
      "Note: {}. When that is used up, writes wait and then fail until there is more; "
      "--preallocate takes all of it now.\n",
      *made.promise);
}

Json FormatArguments::json_of(const MadeVolume& made) const {
  const VolumeLayout& layout = made.layout;
  VolumeDescription told =
      describe_volume(layout.geometry, layout.super_block, device, made.device_bytes);
  // What would else be looked up on the disk.
  told.slabs.never_used = told.slabs.count;
  told.slabs.dirty = 0;
  return fields_json(told);
}

}  // namespace uvdo
