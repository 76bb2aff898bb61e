// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/format.h"

#include <memory>
#include <utility>

#include <fmt/core.h>
#include <unistd.h>

#include "async/uring_loop.h"
#include "base/file_checks.h"
#include "base/machine_memory.h"
#include "device/open_device.h"
#include "lease/open_owned.h"
#include "manage/signature.h"
#include "volume/format_volume.h"
#include "volume/memory_plan.h"

namespace uvdo {
namespace {

/// The place that is formatted.
struct Target {
  std::unique_ptr<BackingStore> store;
  std::uint64_t size = 0;  ///< bytes that it has, or is to have
  bool created = false;
};

/// Takes the room for the whole file from its file system now.
Result<void> preallocate(BackingStore& store, const FormatOptions& options, std::uint64_t size) {
  auto taken = store.take_room(size);
  if (taken || taken.error().code() != Errc::unsupported) return taken;
  return Error(Errc::unsupported,
               taken.error().message() + options.advise({Obstacle::Kind::cannot_preallocate}));
}

/// That the file system has less than the volume may take, if so.
std::optional<std::string> promise_of(const BackingStore& store, std::uint64_t end) {
  auto state = store.look();
  if (!state || !state->is_promised_more_than_there_is(end)) return std::nullopt;
  return promise_text(*state, end);
}

Result<void> refuse_to_overwrite(UringLoop& loop, BackingStore& store,
                                 const FormatOptions& options) {
  if (options.force) return {};
  auto found = find_signature(loop, store);
  if (!found) return std::move(found).error();
  if (found->empty()) return {};
  return Error(Errc::exists, fmt::format("{} already holds {}{}", options.path, *found,
                                         options.advise({Obstacle::Kind::holds_something})));
}

/// Whether what has the name may be formatted so, as far as the name tells.
Result<void> check_name(NameOf there, const FormatOptions& options) {
  const bool wants_file = options.file_bytes != 0;
  const auto refusal = [&](Errc code, std::string_view why, Obstacle::Kind kind) {
    return Error(code, fmt::format("{} {}{}", options.path, why, options.advise({kind})));
  };
  switch (there) {
    case NameOf::nothing:
      if (wants_file) return {};
      return refusal(Errc::not_found, "does not exist", Obstacle::Kind::no_file);
    case NameOf::file:
      if (!wants_file || options.force) return {};
      return refusal(Errc::exists, "exists", Obstacle::Kind::file_exists);
    case NameOf::other:
      if (!wants_file) return {};
      return refusal(Errc::invalid_argument, "is no regular file", Obstacle::Kind::not_a_file);
  }
  return {};
}

/// Opens what is there, under the lock that refuses anything in use, or makes a new file.
Result<Target> open_target(UringLoop& loop, const FormatOptions& options) {
  auto there = look_up_name(options.path);
  if (!there) return std::move(there).error();
  if (auto right = check_name(*there, options); !right) return std::move(right).error();
  Target target;
  target.created = *there == NameOf::nothing;
  auto store = target.created ? make_device(loop, options.path)
                              : open_device(loop, options.path, OpenMode::read_write);
  if (!store) return std::move(store).error();
  target.store = std::move(*store);
  if (options.file_bytes != 0) {
    target.size = options.file_bytes;
    return target;
  }
  // Under the lock, so that what is found is what would be overwritten.
  Result<void> unowned;
  loop.run([](UringLoop& runs, BackingStore& on, Result<void>& result) -> Task<void> {
    auto checking = check_is_unowned(runs, on);
    result = co_await std::move(checking);
  }(loop, *target.store, unowned));
  if (!unowned) return std::move(unowned).error();
  if (auto ok = refuse_to_overwrite(loop, *target.store, options); !ok)
    return std::move(ok).error();
  target.size = target.store->size();
  return target;
}

/// Which slabs would fit, where those that were asked for are too large.
Obstacle smaller_slabs(const FormatRequest& request) {
  Obstacle found{Obstacle::Kind::too_small};
  for (unsigned bits = request.slab_bits - 1; bits >= kMinSlabBits; --bits) {
    auto least = minimum_physical_blocks(bits, request.index_memory, request.sparse);
    if (!least) break;
    if (request.device_bytes / kBlockSize < *least) continue;
    found.slab_bits = bits;
    return found;
  }
  if (request.slab_bits > kMinSlabBits) {
    auto least = minimum_physical_blocks(kMinSlabBits, request.index_memory, request.sparse);
    if (least) {
      // None fits: the least that a volume needs is told.
      found.slab_bits = kMinSlabBits;
      found.needed_bytes = *least * kBlockSize;
    }
  }
  return found;
}

/// Whether this machine could serve the volume at all; and whether its size is meant so.
Result<void> check_sizes(const VolumeLayout& layout, const FormatOptions& options) {
  const MachineMemory available = available_memory();
  // A volume that no settings would let be served here is not made here.
  const MemoryPlan least =
      plan_serving(PlannedSettings::least, layout.geometry, layout.super_block);
  if (auto fits = check_memory(least, 0, available); !fits) {
    return Error(fits.error().code(),
                 fits.error().message() + options.advise({Obstacle::Kind::too_much_memory}))
        .within("it could not be served here");
  }
  const MemoryPlan usual =
      plan_serving(PlannedSettings::usual, layout.geometry, layout.super_block);
  if (usual.total() > available.bytes) {
    options.warn_of_memory(usual.total(), available);
  }
  const std::uint64_t logical = layout.super_block.config.logical_blocks * kBlockSize;
  // The last question: nothing has been changed so far.
  if (!options.may_offer(logical, room_for_data(layout.super_block))) {
    return Error(Errc::cancelled, "nothing was changed");
  }
  return options.last_check();
}

Result<void> write_volume(UringLoop& loop, BackingStore& store, const VolumeLayout& layout) {
  Result<void> written;
  loop.run([](Device& where, const VolumeLayout& what, Result<void>& done) -> Task<void> {
    done = co_await format_volume(where, what);
  }(store, layout, written));
  return written;
}

/// Everything but the target's opening.
Result<MadeVolume> make_volume(UringLoop& loop, const FormatOptions& options, Target& target) {
  MadeVolume made;
  made.device_bytes = target.size;
  made.is_new_file = target.created;
  FormatRequest request = options.request;
  request.device_bytes = target.size;
  auto layout = make_volume_layout(request);
  if (!layout) {
    std::string why = layout.error().message();
    if (layout.error().code() == Errc::no_space) why += options.advise(smaller_slabs(request));
    return Error(layout.error().code(), std::move(why)).within(options.path);
  }
  if (auto ok = check_sizes(*layout, options); !ok) {
    return std::move(ok).error().within(options.path);
  }
  BackingStore& store = *target.store;
  Result<void> done;
  // Not before all that can be known to be wrong is known.
  if (options.file_bytes != 0) done = store.make_anew(options.file_bytes);
  if (done && options.preallocate) done = preallocate(store, options, target.size);
  if (done) done = write_volume(loop, store, *layout);
  // What was zeroed may have become holes.
  if (done && options.preallocate) done = preallocate(store, options, target.size);
  if (!done) return std::move(done).error();
  made.promise = promise_of(store, volume_end(layout->geometry, layout->super_block));
  made.layout = *layout;
  return made;
}

}  // namespace

Result<void> check_preallocation(const FormatOptions& options) {
  const auto there = look_up_name(options.path);
  if (!options.preallocate || !there || *there != NameOf::other) return {};
  return Error(Errc::invalid_argument,
               fmt::format("{} is no regular file{}", options.path,
                           options.advise({Obstacle::Kind::no_file_to_preallocate})));
}

Result<MadeVolume> format_stopped_volume(const FormatOptions& options) {
  if (auto allowed = check_file_size_limit(options.path, options.file_bytes); !allowed) {
    return std::move(allowed).error();
  }
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  // From here to the end under the lock, so that nobody else takes what was looked at.
  auto target = open_target(**loop, options);
  if (!target) return std::move(target).error();
  auto made = make_volume(**loop, options, *target);
  // A file that was there keeps what has become of it: format_volume() says what that can be.
  if (!made && target->created) remove_made_volume(options);
  return made;
}

// By its name: the file is closed, and its lock given back.
void remove_made_volume(const FormatOptions& options) { unlink(options.path.c_str()); }

std::uint64_t room_for_data(const SuperBlock& super) {
  return super.depot.slab_count() * super.depot.slab.data_blocks * kBlockSize;
}

}  // namespace uvdo
