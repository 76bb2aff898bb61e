// SPDX-License-Identifier: GPL-2.0-or-later
// Opens the store of a volume, as its only owner where the volume has a record of that.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/uring_loop.h"
#include "device/backing_file.h"
#include "device/backing_store.h"
#include "lease/lease_keeper.h"

namespace uvdo {

/// As open_device(). A volume with an owner's record is claimed, to write it, by way of that;
/// `tell` is called with a sentence if an earlier owner is waited for. busy: somebody on another
/// machine has it.
Task<Result<std::unique_ptr<BackingStore>>> open_owned_device(
    UringLoop& loop, const std::string& name, OpenMode mode,
    std::function<void(const std::string&)> tell = {});

/// Where the record of the volume on `store` is or would be. Nothing: it has no room for one, or
/// there is no volume that can be read.
Task<std::optional<RecordPlace>> find_record_place(BackingStore& store);
/// The same by another way; an error: it cannot be read.
Result<std::optional<RecordPlace>> find_record_place(RecordStorage& storage,
                                                     const std::string& name);
/// Whether there is a record, on a store that was opened without one.
Task<Result<bool>> has_owner_record(BackingStore& store);
/// busy: somebody on another machine has the volume on `store`, by its record.
Task<Result<void>> check_is_unowned(UringLoop& loop, BackingStore& store);
/// The same of a store whose requests complete inside submit().
Result<void> check_is_unowned(BackingStore& store);

}  // namespace uvdo
