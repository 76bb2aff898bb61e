// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo format: makes a new volume, with the options, defaults and limits of vdoformat.
#include <bit>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid.h>

#include "base/file_checks.h"
#include "base/machine_memory.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/config_file.h"
#include "cli/question.h"
#include "cli/signature.h"
#include "device/backing_name.h"
#include "device/file_device.h"
#include "device/room_gate.h"
#include "format/index_geometry.h"
#include "format/volume_layout.h"
#include "volume/format_volume.h"
#include "volume/memory_plan.h"
#include "watch/volume_description.h"

namespace uvdo {
namespace {

constexpr unsigned kDefaultSlabBits = 19;
constexpr unsigned kSmallestSlabBits = 8;  // of old tools; good for small test volumes

struct FormatArguments {
  std::string device;
  std::string size;
  std::string logical_size;
  std::string slab_size;
  std::string index_memory = "0.25";
  std::string uuid;
  unsigned slab_bits = kDefaultSlabBits;
  bool sparse = false;
  bool force = false;
  bool yes = false;
  bool verbose = false;
  bool json = false;
  bool preallocate = false;
};

/// The place that is formatted.
struct Target {
  BackingFile file;
  std::uint64_t size = 0;
  bool created = false;
};

Result<Uuid> make_uuid(const std::string& text) {
  Uuid uuid{};
  auto bytes = reinterpret_cast<unsigned char*>(uuid.data());
  if (text.empty()) {
    uuid_generate_random(bytes);
  } else if (uuid_parse(text.c_str(), bytes) != 0) {
    return Error(Errc::invalid_argument, fmt::format("\"{}\" is no UUID", text));
  }
  return uuid;
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
  using std::chrono::duration_cast;
  request.nonce = static_cast<std::uint64_t>(
      duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  return request;
}

Result<void> set_file_size(int fd, const std::string& path, std::uint64_t size) {
  // From nothing: what the file held before must not show through.
  if (ftruncate(fd, 0) == 0 && ftruncate(fd, static_cast<off_t>(size)) == 0) return {};
  if (errno == EFBIG) {
    return Error(Errc::no_space, fmt::format("the file system of {} cannot hold a file of {}", path,
                                             size_text(size)));
  }
  return errno_error(errno, fmt::format("cannot set the size of {}", path));
}

/// Takes the room for the whole file from its file system now.
Result<void> preallocate(int fd, const std::string& path, std::uint64_t size) {
  if (fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0) return {};
  const int error = errno;
  const std::string what = fmt::format("cannot take {} for {}", size_text(size), path);
  if (error == EOPNOTSUPP) {
    return Error(Errc::unsupported, what +
                                        ": its file system cannot do that; leave --preallocate "
                                        "away");
  }
  auto state = look_at_backing_store(fd, path);
  if (!is_no_room(error) || !state) return errno_error(error, what);
  return Error(Errc::no_space, fmt::format("{}: {} are free ({})", what, size_text(state->free),
                                           errno_error(error, "fallocate").message()));
}

/// Says so if the file system has less than the volume may take.
void print_promise(int fd, const std::string& path, std::uint64_t end) {
  auto state = look_at_backing_store(fd, path);
  if (!state || !state->is_promised_more_than_there_is(end)) return;
  print(
      "Note: {}. When that is used up, writes wait and then fail until there is more; "
      "--preallocate takes all of it now.\n",
      promise_text(*state, end));
}

Result<void> refuse_to_overwrite(int fd, const std::string& path, bool force) {
  if (force) return {};
  auto found = find_signature(fd, path);
  if (!found) return std::move(found).error();
  if (found->empty()) return {};
  return Error(Errc::exists,
               fmt::format("{} already holds {}; give --force to overwrite it", path, *found));
}

/// Opens what is there, under the lock that refuses anything in use, or makes a new file.
Result<Target> open_target(const FormatArguments& arguments, std::uint64_t wanted_size) {
  const std::string& path = arguments.device;
  struct stat status {};
  const bool exists = stat(path.c_str(), &status) == 0;
  Target target;
  if (!exists) {
    if (errno != ENOENT) return errno_error(errno, fmt::format("cannot examine {}", path));
    if (wanted_size == 0) {
      return Error(Errc::not_found,
                   fmt::format("{} does not exist; give --size to create a file", path));
    }
    target.file.fd = FileDescriptor(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!target.file.fd) return errno_error(errno, fmt::format("cannot create {}", path));
    auto lock = StorageLock::take(target.file.fd.get(), path, StorageLock::Mode::exclusive);
    if (!lock) return std::move(lock).error();
    target.file.lock = std::move(*lock);
    target.created = true;
    target.size = wanted_size;
    return target;
  }
  if (wanted_size != 0 && !S_ISREG(status.st_mode)) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} is no regular file: --size is for files to be created", path));
  }
  if (wanted_size != 0 && !arguments.force) {
    return Error(Errc::exists, fmt::format("{} exists; leave --size away to format it as it is, or "
                                           "give --force to replace it",
                                           path));
  }
  auto file = open_backing_store(path, OpenMode::read_write);
  if (!file) return std::move(file).error();
  target.file = std::move(*file);
  if (wanted_size != 0) {
    target.size = wanted_size;
    return target;
  }
  if (auto ok = refuse_to_overwrite(target.file.fd.get(), path, arguments.force); !ok) {
    return std::move(ok).error();
  }
  auto size = size_of_backing_store(target.file.fd.get(), path);
  if (!size) return std::move(size).error();
  target.size = *size;
  return target;
}

/// Adds to "too small" which slabs would fit.
Error too_small(const Error& error, const FormatRequest& request) {
  for (unsigned bits = request.slab_bits - 1; bits >= kMinSlabBits; --bits) {
    auto least = minimum_physical_blocks(bits, request.index_memory, request.sparse);
    if (!least) break;
    if (request.device_bytes / kBlockSize < *least) continue;
    return {Errc::no_space, fmt::format("{}; --slab-bits {} would fit", error.message(), bits)};
  }
  if (request.slab_bits > kMinSlabBits) {
    auto least = minimum_physical_blocks(kMinSlabBits, request.index_memory, request.sparse);
    if (least) {
      return {Errc::no_space,
              fmt::format("{}; with --slab-bits {}, the smallest, it needs {} bytes",
                          error.message(), kMinSlabBits, *least * kBlockSize)};
    }
  }
  return error.clone();
}

std::uint64_t room_for_data(const SuperBlock& super) {
  return super.depot.slab_count() * super.depot.slab.data_blocks * kBlockSize;
}

/// Whether this machine could serve the volume at all; and whether its size is meant so.
Result<void> check_sizes(const VolumeLayout& layout, bool yes) {
  const MachineMemory available = available_memory();
  const MemoryPlan least = plan_serving(ServeSettings::least, layout.geometry, layout.super_block);
  auto fits = check_memory(least, 0, available,
                           "give a smaller --logical-size or --index-memory, or format it where "
                           "there is more");
  if (!fits) return std::move(fits).error().within("it could not be served here");
  const MemoryPlan usual = plan_serving(ServeSettings::usual, layout.geometry, layout.super_block);
  if (usual.total() > available.bytes) {
    print_error(
        "uvdo: warning: to be served here it needs a smaller --cache, or smaller --buffers: "
        "with the usual ones it takes up to {} of memory, and {} is {}\n",
        size_text(usual.total()), available.limit, size_text(available.bytes));
  }
  const std::uint64_t logical = layout.super_block.config.logical_blocks * kBlockSize;
  if (may_offer(logical, room_for_data(layout.super_block), yes)) return {};
  return Error(Errc::cancelled, "nothing was changed");
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

/// The same as uvdo info --json says of a volume that was never started.
void print_json(const std::string& path, const VolumeLayout& layout, std::uint64_t device_bytes) {
  VolumeFacts facts;
  facts.name = path;
  facts.device_bytes = device_bytes;
  facts.slabs_never_used = layout.super_block.depot.slab_count();
  facts.slabs_dirty = 0;
  print("{}\n", json_text(describe_volume(layout.geometry, layout.super_block, facts), 2));
}

Result<void> write_volume(UringLoop& loop, Target& target, const std::string& path,
                          const VolumeLayout& layout) {
  auto device = FileDevice::adopt(loop, std::move(target.file), path, OpenMode::read_write);
  if (!device) return std::move(device).error();
  Result<void> written;
  loop.run([](Device& where, const VolumeLayout& what, Result<void>& done) -> Task<void> {
    done = co_await format_volume(where, what);
  }(**device, layout, written));
  return written;
}

int format(const FormatArguments& arguments) {
  auto request = make_request(arguments);
  if (!request) return usage_error(request.error().message());
  std::uint64_t wanted_size = 0;
  if (!arguments.size.empty()) {
    auto size = parse_size(arguments.size);
    if (!size) return usage_error(size.error().message());
    if (*size == 0 || *size > kMaxPhysicalBlocks * kBlockSize) {
      return usage_error(
          fmt::format("a size of {} is not possible: use up to 256T", arguments.size));
    }
    wanted_size = *size;
  }
  if (auto allowed = check_file_size_limit(arguments.device, wanted_size); !allowed) {
    return fail(allowed.error());
  }
  struct stat there {};
  if (arguments.preallocate && stat(arguments.device.c_str(), &there) == 0 &&
      !S_ISREG(there.st_mode)) {
    return usage_error(
        fmt::format("{} is no regular file: --preallocate is for files", arguments.device));
  }
  auto target = open_target(arguments, wanted_size);
  if (!target) return fail(target.error());
  const auto give_up = [&](const Error& error) {
    if (target->created) unlink(arguments.device.c_str());
    return fail(error);
  };
  request->device_bytes = target->size;
  auto layout = make_volume_layout(*request);
  if (!layout) {
    const Error& error = layout.error();
    return give_up((error.code() == Errc::no_space ? too_small(error, *request) : error.clone())
                       .within(arguments.device));
  }
  if (auto ok = check_sizes(*layout, arguments.yes); !ok) {
    return give_up(std::move(ok).error().within(arguments.device));
  }
  auto loop = UringLoop::create();
  if (!loop) return give_up(loop.error());
  if (wanted_size != 0) {
    auto ok = set_file_size(target->file.fd.get(), arguments.device, wanted_size);
    if (!ok) return give_up(ok.error());
  }
  // The volume's file is closed when it has been written.
  const FileDescriptor own(fcntl(target->file.fd.get(), F_DUPFD_CLOEXEC, 0));
  const int fd = own.get();
  if (arguments.preallocate) {
    if (auto ok = preallocate(fd, arguments.device, target->size); !ok) return give_up(ok.error());
  }
  if (auto ok = write_volume(**loop, *target, arguments.device, *layout); !ok) {
    return give_up(ok.error());
  }
  if (arguments.preallocate) {  // what was zeroed may have become holes
    if (auto ok = preallocate(fd, arguments.device, target->size); !ok) return give_up(ok.error());
  }
  if (arguments.json) {
    print_json(arguments.device, *layout, target->size);
  } else {
    print_made(arguments.device, *layout, arguments.verbose);
    print_promise(fd, arguments.device,
                  layout->geometry.device_byte(Pbn{layout->super_block.config.physical_blocks}));
  }
  if (auto arrived = finish_output(); !arrived) {
    const Error& error = arrived.error();
    return give_up(target->created ? error.within("no volume was made")
                                   : error.within("the volume was made"));
  }
  return kExitOk;
}

}  // namespace

int run_format(int argc, char** argv) {
  FormatArguments arguments;
  Arguments app(
      "Makes a new volume on a file or block device. Sizes take B K M G T P or KiB MiB GiB TiB "
      "PiB.",
      "uvdo format");
  app.option("DEVICE", arguments.device, "file, block device, or MAJOR:MINOR of one")
      .transform(backing_store_path);
  std::string config;
  app.option("--config", config, "TOML file with these options in a table [format]");
  app.option("--size", arguments.size, "create DEVICE as a sparse file of this size");
  app.option("--logical-size", arguments.logical_size,
             "size of the device that users see (default: what surely fits)");
  auto bits =
      app.option("--slab-bits", arguments.slab_bits, "slabs of 2^N blocks: 13 (32M) to 23 (32G)")
          .show_default();
  app.option("--slab-size", arguments.slab_size, "the same as a size: 32M to 32G").excludes(bits);
  app.option("--index-memory,--uds-memory-size", arguments.index_memory,
             "memory of the deduplication index in GB: 0.25, 0.5, 0.75, 1 to 1024")
      .show_default();
  app.flag("--sparse-index,--uds-sparse", arguments.sparse,
           "an index that remembers ten times as much, on ten times the space");
  app.option("--uuid", arguments.uuid, "the volume's UUID (default: a random one)");
  app.flag("--preallocate", arguments.preallocate,
           "take the room for the whole file now, so that its file system cannot run out of it");
  app.flag("--force", arguments.force, "overwrite what DEVICE holds");
  app.flag("-y,--yes", arguments.yes,
           "do not ask about a logical size of more than 100 times the room for data");
  auto verbose = app.flag("-v,--verbose", arguments.verbose, "show the layout, too");
  app.flag("--json", arguments.json, "print JSON: what uvdo info tells").excludes(verbose);
  if (auto status = parse_arguments_with_config(app, "format", arguments.device, argc, argv)) {
    return *status;
  }
  return format(arguments);
}

}  // namespace uvdo
