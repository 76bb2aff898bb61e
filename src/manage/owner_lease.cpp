// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/owner_lease.h"

#include <memory>

#include <fmt/core.h>

#include "async/uring_loop.h"
#include "base/aligned_memory.h"
#include "device/open_device.h"
#include "lease/open_owned.h"

namespace uvdo {
namespace {

constexpr std::chrono::milliseconds kPatience(10'000);

Error no_room(const std::string& volume) {
  return {Errc::no_space,
          fmt::format("{} has no block for a record of its owner: there is no volume, or its slabs "
                      "fill it to the last block; make its storage a little larger, and grow it",
                      volume)};
}

/// Under the lock of this machine, by which nobody here has it.
Task<Result<void>> change_record(UringLoop& loop, const std::string& volume,
                                 const LeaseChange& change) {
  auto store = open_device(loop, volume, OpenMode::read_write);
  if (!store) co_return std::move(store).error();
  auto finding = find_record_place(**store);
  auto place = co_await std::move(finding);
  if (!place) co_return no_room(volume);
  // What servers will need, too.
  auto storage = RecordStorage::open(volume, OpenMode::read_write, kPatience);
  if (!storage) co_return std::move(storage).error();
  auto found = find_owner_record(**storage, *place);
  if (!found && !change.force) co_return std::move(found).error();
  OwnerRecord record;
  if (found && *found) {
    record = (*found)->record;
    place->offset = (*found)->offset;
    if (!change.force) {
      auto checking = check_is_unowned(loop, **store);
      auto unowned = co_await std::move(checking);
      if (!unowned) co_return unowned;
    }
  }
  const AlignedMemory block(kBlockSize);
  if (change.seconds) {
    record.state = OwnerRecord::State::free;
    record.lease_seconds = *change.seconds;
    ++record.generation;
    encode_owner_record(record, place->nonce, block.bytes());
  }
  co_return (*storage)->write(place->offset, block.bytes());
}

}  // namespace

Result<std::optional<OwnerRecord>> owner_record_of(const std::string& volume) {
  auto storage = RecordStorage::open(volume, OpenMode::read_only, kPatience);
  if (!storage) return std::move(storage).error();
  auto place = find_record_place(**storage, volume);
  if (!place) return std::move(place).error();
  if (!*place) return std::optional<OwnerRecord>();
  auto found = find_owner_record(**storage, **place);
  if (!found) return std::move(found).error();
  if (!*found) return std::optional<OwnerRecord>();
  return std::optional((*found)->record);
}

Result<void> change_owner_lease(const std::string& volume, const LeaseChange& change) {
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<void> done;
  (*loop)->run([](UringLoop& runs, const std::string& name, const LeaseChange& what,
                  Result<void>& result) -> Task<void> {
    auto changing = change_record(runs, name, what);
    result = co_await std::move(changing);
  }(**loop, volume, change, done));
  return done;
}

}  // namespace uvdo
