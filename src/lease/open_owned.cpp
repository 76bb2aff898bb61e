// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/open_owned.h"

#include <functional>
#include <utility>

#include "async/blocking_call.h"
#include "base/aligned_memory.h"
#include "base/store_name.h"
#include "device/blocking_device.h"
#include "device/open_device.h"
#include "format/slab_layout.h"
#include "format/uuid_text.h"
#include "lease/leased_store.h"

namespace uvdo {
namespace {

/// How long a renewal waits for an answer. Longer than any that is well takes, and several times in
/// what an owner relies on.
constexpr std::chrono::milliseconds kPatience(3000);

/// Which owners of before are known to have ended: on this machine the lock of the store says so;
/// but a disk may be several to its kernel.
Claimant claimant_here(const BackingStore& store) {
  Claimant here;
  here.self = owner_here();
  const auto state = store.look();
  here.same_boot = is_path(store.name()) && state && state->is_file;
  here.ended = uuid_of(store.note());
  return here;
}

Result<std::unique_ptr<LeaseKeeper>> claim(BackingStore& store, const RecordPlace& place,
                                           const std::function<void(const std::string&)>& tell) {
  auto storage = RecordStorage::open(place.store, OpenMode::read_write, kPatience);
  if (!storage) return std::move(storage).error();
  const Claimant claimant = claimant_here(store);
  auto keeper = LeaseKeeper::claim(std::move(*storage), place, claimant, tell);
  if (!keeper) return std::move(keeper).error();
  if (auto left = store.leave_note(to_text(claimant.self.owner)); !left) {
    return std::move(left).error();
  }
  return keeper;
}

Result<void> check_is_unused(const RecordPlace& place, const Claimant& claimant) {
  auto storage = RecordStorage::open(place.store, OpenMode::read_only, kPatience);
  if (!storage) return std::move(storage).error();
  auto found = find_owner_record(**storage, place);
  if (!found) return std::move(found).error();
  if (!*found || claimant.knows_the_end_of((*found)->record)) return {};
  return check_is_not_renewed(**storage, place, **found);
}

/// Where the super block is, by the block before it.
Result<std::uint64_t> place_of_super_block(ConstBytes geometry_block) {
  auto geometry = decode_volume_geometry(geometry_block);
  if (!geometry) return std::move(geometry).error();
  return device_byte(geometry->data_start, geometry->bio_offset);
}

Result<std::optional<RecordPlace>> place_of(ConstBytes geometry_block, ConstBytes super_block,
                                            const std::string& name) {
  auto geometry = decode_volume_geometry(geometry_block);
  if (!geometry) return std::move(geometry).error();
  auto decoded = decode_super_block(super_block, *geometry);
  if (!decoded) return std::move(decoded).error();
  const auto offset = unused_byte(*geometry, *decoded);
  if (!offset) return std::optional<RecordPlace>();
  return std::optional(RecordPlace{name, geometry->nonce, *offset});
}

using Read = std::function<Result<void>(std::uint64_t offset, MutableBytes out)>;

Result<std::optional<RecordPlace>> find_place(const Read& read, const std::string& name) {
  const AlignedMemory geometry_block(kBlockSize);
  const AlignedMemory block(kBlockSize);
  if (auto got = read(0, geometry_block.bytes()); !got) return std::move(got).error();
  auto super_block = place_of_super_block(geometry_block.bytes());
  if (!super_block) return std::move(super_block).error().within(name);
  if (auto got = read(*super_block, block.bytes()); !got) return std::move(got).error();
  return place_of(geometry_block.bytes(), block.bytes(), name);
}

/// Whether a record is there, by the block in its place. One that is damaged is told of by who
/// reads it next.
bool holds_record(ConstBytes block, const RecordPlace& place) {
  const auto record = decode_owner_record(block, place.nonce);
  return !record || record->has_value();
}

/// Where the record of the volume is, if it has one, as the store itself reads it.
Task<Result<std::optional<RecordPlace>>> find_record(BackingStore& store) {
  auto finding = find_record_place(store);
  auto place = co_await std::move(finding);
  if (!place) co_return std::optional<RecordPlace>();
  const AlignedMemory block(kBlockSize);
  auto read = co_await store.read(place->offset, block.bytes());
  if (!read) co_return std::move(read).error();
  if (!holds_record(block.bytes(), *place)) co_return std::optional<RecordPlace>();
  co_return place;
}

/// Waits beside the loop.
Task<Result<void>> check_is_unused(UringLoop& loop, const BackingStore& store,
                                   const RecordPlace& place) {
  const Claimant claimant = claimant_here(store);
  const auto look = [&] { return check_is_unused(place, claimant); };
  Result<void> unused = co_await call_blocking(loop, Descriptors::shared, look);
  co_return unused;
}

}  // namespace

Task<std::optional<RecordPlace>> find_record_place(BackingStore& store) {
  const AlignedMemory geometry_block(kBlockSize);
  const AlignedMemory block(kBlockSize);
  const auto has = [&store](std::uint64_t at) {
    return store.size() >= kBlockSize && at <= store.size() - kBlockSize;
  };
  if (!has(0) || !co_await store.read(0, geometry_block.bytes())) co_return std::nullopt;
  const auto super_block = place_of_super_block(geometry_block.bytes());
  if (!super_block || !has(*super_block)) co_return std::nullopt;
  if (!co_await store.read(*super_block, block.bytes())) co_return std::nullopt;
  auto place = place_of(geometry_block.bytes(), block.bytes(), store.name());
  if (!place || !*place || !has((*place)->offset)) co_return std::nullopt;
  co_return std::move(*place);
}

Result<std::optional<RecordPlace>> find_record_place(RecordStorage& storage,
                                                     const std::string& name) {
  return find_place(
      [&storage](std::uint64_t offset, MutableBytes out) { return storage.read(offset, out); },
      name);
}

Result<void> check_is_unowned(BackingStore& store) {
  if (kind_of_store(store.name()) == StoreKind::rbd) return {};
  const Read read = [&store](std::uint64_t offset, MutableBytes out) {
    return read_at_once(store, offset, out);
  };
  auto place = find_place(read, store.name());
  // What is no volume, or cannot be read, is told of by who opens it.
  if (!place || !*place) return {};
  const AlignedMemory block(kBlockSize);
  if (auto got = read((*place)->offset, block.bytes()); !got) return got;
  if (!holds_record(block.bytes(), **place)) return {};
  return check_is_unused(**place, claimant_here(store));
}

Task<Result<bool>> has_owner_record(BackingStore& store) {
  auto finding = find_record(store);
  auto place = co_await std::move(finding);
  if (!place) co_return std::move(place).error();
  co_return place->has_value();
}

Task<Result<void>> check_is_unowned(UringLoop& loop, BackingStore& store) {
  auto finding = find_record(store);
  auto place = co_await std::move(finding);
  if (!place) co_return std::move(place).error();
  if (!*place) co_return Result<void>();
  auto checking = check_is_unused(loop, store, **place);
  co_return co_await std::move(checking);
}

Task<Result<std::unique_ptr<BackingStore>>> open_owned_device(
    UringLoop& loop, const std::string& name, OpenMode mode,
    std::function<void(const std::string&)> tell) {
  auto opened = open_device(loop, name, mode);
  // An image of Ceph has a lock of its own.
  if (!opened || kind_of_store(name) == StoreKind::rbd) co_return opened;
  BackingStore& store = **opened;
  auto finding = find_record(store);
  auto found = co_await std::move(finding);
  if (!found) co_return std::move(found).error();
  if (!*found) co_return opened;
  const RecordPlace place = std::move(**found);
  if (mode == OpenMode::read_only) {
    auto checking = check_is_unused(loop, store, place);
    auto unused = co_await std::move(checking);
    if (!unused) co_return std::move(unused).error();
    co_return opened;
  }
  if (!tell) tell = [](const std::string&) {};
  const LeasedStore::Claim claim_it = [&store, tell](const RecordPlace& where) {
    return claim(store, where, tell);
  };
  const auto at_once = [&] { return claim_it(place); };
  Result<std::unique_ptr<LeaseKeeper>> keeper =
      co_await call_blocking(loop, Descriptors::shared, at_once);
  if (!keeper) co_return std::move(keeper).error();
  co_return std::unique_ptr<BackingStore>(
      std::make_unique<LeasedStore>(loop, std::move(*opened), std::move(*keeper), place, claim_it));
}

}  // namespace uvdo
