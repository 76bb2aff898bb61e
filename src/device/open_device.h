// SPDX-License-Identifier: GPL-2.0-or-later
// The one place that knows what the names of devices mean: each is the path of a regular file or a
// block device, of which the first can be made, or a URI (base/store_name.h).
#pragma once

#include <memory>
#include <string>

#include "async/uring_loop.h"
#include "device/backing_file.h"
#include "device/backing_store.h"

namespace uvdo {

/// Whether somebody has the store called `name` so that open_device() would find it busy, and who:
/// the error is what that says, or why it cannot be opened at all. Waits for no lock, and keeps
/// none for longer than the look takes.
Result<void> check_is_free(const std::string& name, OpenMode mode);

/// The same in a moment, without a look at who it is: false where that takes check_is_free().
[[nodiscard]] bool is_locked(const std::string& name, OpenMode mode);

/// Opens the store called `name` under its lock (shared for read_only) for requests from `loop`,
/// which outlives it. busy: somebody has it; not_found, invalid_argument, read_only, io: it cannot
/// be opened so.
Result<std::unique_ptr<BackingStore>> open_device(UringLoop& loop, const std::string& name,
                                                  OpenMode mode);

/// Makes an empty file called `name`, where nothing may be yet, and opens it so for reading and
/// writing; make_anew() gives it a size. exists: something is there. After an error there is no new
/// file.
Result<std::unique_ptr<BackingStore>> make_device(UringLoop& loop, const std::string& name);

/// The same for who makes one request after the other: each completes inside submit(). To be used
/// by way of BlockingDevice.
Result<std::unique_ptr<BackingStore>> open_blocking_device(const std::string& name, OpenMode mode);
Result<std::unique_ptr<BackingStore>> make_blocking_device(const std::string& name);

/// Sees to it that the server on another machine that has the store can never write it again, so
/// that it can be opened here; nothing is done where nobody has it. unsupported: it is no store
/// that can do that; busy: a program of this machine has it.
Result<void> take_over_device(const std::string& name);

/// Reads the beginning of a store without its lock, whoever uses it: how many bytes of `out` there
/// are. not_found, invalid_argument, io: it cannot be read.
Result<std::size_t> peek(const std::string& name, MutableBytes out);

/// What a name is the name of.
enum class NameOf : std::uint8_t {
  nothing,  ///< make_device() could make it
  file,     ///< a regular file, which make_anew() could replace
  other,    ///< a block device, a URI, or what cannot be opened as a device at all
};

/// Looks without opening anything. An error: it cannot be looked at.
Result<NameOf> look_up_name(const std::string& name);

}  // namespace uvdo
