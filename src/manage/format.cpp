// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/format.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "async/uring_loop.h"
#include "base/file_checks.h"
#include "base/machine_memory.h"
#include "base/size_text.h"
#include "device/file_device.h"
#include "device/room_gate.h"
#include "manage/file_size.h"
#include "manage/signature.h"
#include "volume/format_volume.h"
#include "volume/memory_plan.h"

namespace uvdo {
namespace {

/// The place that is formatted.
struct Target {
  BackingFile file;
  std::uint64_t size = 0;
  bool created = false;
};

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

/// That the file system has less than the volume may take, if so.
std::optional<std::string> promise_of(int fd, const std::string& path, std::uint64_t end) {
  auto state = look_at_backing_store(fd, path);
  if (!state || !state->is_promised_more_than_there_is(end)) return std::nullopt;
  return promise_text(*state, end);
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
Result<Target> open_target(const FormatOptions& options) {
  const std::string& path = options.path;
  const std::uint64_t wanted_size = options.file_bytes;
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
    if (!lock) {
      ::unlink(path.c_str());
      return std::move(lock).error();
    }
    target.file.lock = std::move(*lock);
    target.created = true;
    target.size = wanted_size;
    return target;
  }
  if (wanted_size != 0 && !S_ISREG(status.st_mode)) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} is no regular file: --size is for files to be created", path));
  }
  if (wanted_size != 0 && !options.force) {
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
  if (auto ok = refuse_to_overwrite(target.file.fd.get(), path, options.force); !ok) {
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

/// Whether this machine could serve the volume at all; and whether its size is meant so.
Result<void> check_sizes(const VolumeLayout& layout, const FormatOptions& options) {
  const MachineMemory available = available_memory();
  const MemoryPlan least = plan_serving(ServeSettings::least, layout.geometry, layout.super_block);
  auto fits = check_memory(least, 0, available,
                           "give a smaller --logical-size or --index-memory, or format it where "
                           "there is more");
  if (!fits) return std::move(fits).error().within("it could not be served here");
  const MemoryPlan usual = plan_serving(ServeSettings::usual, layout.geometry, layout.super_block);
  if (usual.total() > available.bytes) {
    options.warn(fmt::format(
        "to be served here it needs a smaller --cache, or smaller --buffers: with the usual ones "
        "it takes up to {} of memory, and {} is {}",
        size_text(usual.total()), available.limit, size_text(available.bytes)));
  }
  const std::uint64_t logical = layout.super_block.config.logical_blocks * kBlockSize;
  if (options.may_offer(logical, room_for_data(layout.super_block))) return {};
  return Error(Errc::cancelled, "nothing was changed");
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

/// Everything but the target's opening.
Result<MadeVolume> make_volume(const FormatOptions& options, Target& target) {
  MadeVolume made;
  made.device_bytes = target.size;
  made.is_new_file = target.created;
  FormatRequest request = options.request;
  request.device_bytes = target.size;
  auto layout = make_volume_layout(request);
  if (!layout) {
    const Error& error = layout.error();
    return (error.code() == Errc::no_space ? too_small(error, request) : error.clone())
        .within(options.path);
  }
  if (auto ok = check_sizes(*layout, options); !ok) {
    return std::move(ok).error().within(options.path);
  }
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  if (options.file_bytes != 0) {
    auto ok = make_file_empty(target.file.fd.get(), options.path, options.file_bytes);
    if (!ok) return std::move(ok).error();
  }
  // The volume's file is closed when it has been written.
  const FileDescriptor own(fcntl(target.file.fd.get(), F_DUPFD_CLOEXEC, 0));
  const int fd = own.get();
  if (options.preallocate) {
    if (auto ok = preallocate(fd, options.path, target.size); !ok) return std::move(ok).error();
  }
  if (auto ok = write_volume(**loop, target, options.path, *layout); !ok) {
    return std::move(ok).error();
  }
  if (options.preallocate) {  // what was zeroed may have become holes
    if (auto ok = preallocate(fd, options.path, target.size); !ok) return std::move(ok).error();
  }
  made.promise = promise_of(fd, options.path, volume_end(layout->geometry, layout->super_block));
  made.layout = std::move(*layout);
  return made;
}

}  // namespace

Result<void> check_preallocation(const FormatOptions& options) {
  struct stat there {};
  if (!options.preallocate || stat(options.path.c_str(), &there) != 0 || S_ISREG(there.st_mode)) {
    return {};
  }
  return Error(Errc::invalid_argument,
               fmt::format("{} is no regular file: --preallocate is for files", options.path));
}

Result<MadeVolume> format_stopped_volume(const FormatOptions& options) {
  if (auto allowed = check_file_size_limit(options.path, options.file_bytes); !allowed) {
    return std::move(allowed).error();
  }
  auto target = open_target(options);
  if (!target) return std::move(target).error();
  auto made = make_volume(options, *target);
  if (!made && target->created) remove_made_volume(options);
  return made;
}

void remove_made_volume(const FormatOptions& options) { unlink(options.path.c_str()); }

std::uint64_t room_for_data(const SuperBlock& super) {
  return super.depot.slab_count() * super.depot.slab.data_blocks * kBlockSize;
}

}  // namespace uvdo
