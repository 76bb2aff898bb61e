// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/signature.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include "async/task.h"
#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "base/file_checks.h"
#include "base/file_descriptor.h"
#include "base/store_name.h"

namespace uvdo {
namespace {

/// Probes are libblkid's to free.
struct FreeProbe {
  void operator()(blkid_struct_probe* probe) const { blkid_free_probe(probe); }
};

/// What was found under a name; empty if that is nothing.
std::string probe_value(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  std::size_t length = 0;
  if (blkid_probe_lookup_value(probe, name, &value, &length) != 0 || value == nullptr) return {};
  return value;
}

/// Copies [start, end) of a store to the same place of a file.
Result<void> copy_part(UringLoop& loop, BackingStore& store, int fd, std::uint64_t start,
                       std::uint64_t end) {
  const AlignedMemory memory(end - start);
  Result<void> done;
  loop.run([](Device& from, std::uint64_t at, MutableBytes to, Result<void>& read) -> Task<void> {
    read = co_await from.read(at, to);
  }(store, start, memory.bytes(), done));
  if (!done) return done;
  const auto written = pwrite(fd, memory.data(), memory.size(), static_cast<off_t>(start));
  if (written == static_cast<ssize_t>(memory.size())) return {};
  return errno_error(errno, fmt::format("copying what {} begins and ends with", store.name()));
}

/// Of a store that is no file: one in memory with a hole in its middle. What marks a disk stands at
/// its ends.
Result<FileDescriptor> both_ends_of(UringLoop& loop, BackingStore& store) {
  constexpr std::uint64_t kEnd = std::uint64_t{2} << 20;
  const std::uint64_t size = store.size() / kBlockSize * kBlockSize;
  FileDescriptor file(memfd_create("uvdo-probe", MFD_CLOEXEC));
  if (!file || ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    return errno_error(errno, fmt::format("cannot examine {} for what it holds", store.name()));
  }
  const std::uint64_t head = std::min(size, kEnd);
  auto copied = copy_part(loop, store, file.get(), 0, head);
  if (copied && size > head) {
    copied = copy_part(loop, store, file.get(), std::max(head, size - std::min(size, kEnd)), size);
  }
  if (!copied) return std::move(copied).error();
  return file;
}

}  // namespace

Result<std::string> find_signature(UringLoop& loop, BackingStore& store) {
  const std::string& path = store.name();
  // libblkid reads by itself, and not in the units that the store's own file may demand.
  auto file = is_path(path) ? open_checked(path, O_RDONLY | O_CLOEXEC, FileKind::store)
                            : both_ends_of(loop, store);
  if (!file) return std::move(file).error();
  auto state = store.look();
  if (!state) return std::move(state).error();
  if (state->named != BackingState::Named::itself) {
    return Error(Errc::busy, fmt::format("{} is being replaced", path));
  }
  const std::unique_ptr<blkid_struct_probe, FreeProbe> probe(blkid_new_probe());
  if (!probe || blkid_probe_set_device(probe.get(), file->get(), 0, 0) != 0) {
    return Error(Errc::io, fmt::format("cannot examine {} for what it holds", path));
  }
  blkid_probe_enable_superblocks(probe.get(), 1);
  // Only what is shown: labels and UUIDs are not asked for.
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  blkid_probe_enable_partitions(probe.get(), 1);
  const int found = blkid_do_probe(probe.get());
  if (found < 0) return Error(Errc::io, fmt::format("cannot read {} to see what it holds", path));
  // 1: it knows nothing of what is there.
  if (found > 0) return std::string();
  if (std::string type = probe_value(probe.get(), "TYPE"); !type.empty()) {
    const std::string usage = probe_value(probe.get(), "USAGE");
    if (type == "vdo") return std::string("a VDO volume");
    return fmt::format("{} ({})", type, usage.empty() ? "unknown use" : usage);
  }
  if (std::string type = probe_value(probe.get(), "PTTYPE"); !type.empty()) {
    return fmt::format("a partition table ({})", type);
  }
  return std::string("something that libblkid knows");
}

}  // namespace uvdo
