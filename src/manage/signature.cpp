// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/signature.h"

#include <memory>

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/core.h>

#include "base/file_checks.h"

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

}  // namespace

Result<std::string> find_signature(const BackingStore& store) {
  const std::string& path = store.name();
  // libblkid reads by itself, and not in the units that the store's own file may demand.
  auto file = open_checked(path, O_RDONLY | O_CLOEXEC, FileKind::store);
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
