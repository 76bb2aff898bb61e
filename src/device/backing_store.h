// SPDX-License-Identifier: GPL-2.0-or-later
// What holds a volume: a device whose requests (device/device.h) are one side, and everything else
// about it the other: how large it is and may become, whose it is, what it lies on, how busy it is.
// Requests pass through gates and threads; this side does not, so that none of them can answer for
// the store.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "device/backing_state.h"
#include "device/device.h"
#include "device/device_activity.h"
#include "device/storage_map.h"

namespace uvdo {

class WorkBatches;

/// A store belongs to the thread that makes its requests. As long as it is open it has a lock on
/// what it is, which keeps other programs away; release() gives it back, reopen() takes it anew.
class BackingStore : public Device {
 public:
  /// A request that failed.
  struct Failure {
    Op op{};
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;
    int error = 0;  ///< errno
  };

  // ---- size

  /// Bytes, as of the opening, look_up_size() or extend().
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Looks at the store anew: it may have become larger since. May keep the caller waiting.
  virtual Result<std::uint64_t> look_up_size() = 0;
  /// Sees to it that there are `size` bytes at least: a file or an image of Ceph is made larger,
  /// everything else must have them. no_space: it has not.
  virtual Task<Result<void>> extend(std::uint64_t size) = 0;
  /// The volume on it is about to be laid out so that no part of it uses the block at byte
  /// `unused`; nothing: there is none. For a store that keeps something of its own there. An error:
  /// the volume stays as it is.
  virtual Task<Result<void>> will_leave_unused(std::optional<std::uint64_t> unused);
  /// Makes a file `size` zero bytes, whatever it held before. no_space: its file system has no
  /// files of that size; unsupported: it is no file.
  virtual Result<void> make_anew(std::uint64_t size);

  // ---- whose it is

  /// What it is, and what lies beneath, from top to bottom: what the lock covers. Empty while it is
  /// released, and of a store that only this process can reach.
  [[nodiscard]] virtual const std::vector<StorageRange>& storages() const = 0;
  /// Lets go of the store, so that others may use or replace it. Nothing may be under way, and
  /// nothing be asked for until reopen(). not_found: it would be gone then; it is still open.
  virtual Result<void> release() = 0;
  /// Opens what is in its place now. May keep the caller waiting. busy, not_found, ...: it is still
  /// let go of.
  virtual Result<void> reopen() = 0;

  /// What who had its lock on this machine last has left for the next one; "": nothing.
  [[nodiscard]] virtual std::string note() const { return {}; }
  /// Leaves it. Of a store with nowhere to leave it nothing is done.
  virtual Result<void> leave_note(const std::string& text);
  /// From now on nothing is sent while `may_send` says no, neither what is sent later than it was
  /// asked for nor what is sent again; it fails with EIO then, for good. Of a store that sends at
  /// once nothing is done.
  virtual void send_while(std::function<bool()> may_send);

  // ---- what lies beneath

  /// What has become of the store, and the room that its file system has for more; busy: it has
  /// been let go of; read_only: another server has taken it over, for good. Its file system may
  /// keep the caller waiting.
  [[nodiscard]] virtual Result<BackingState> look() const = 0;
  /// The same without waiting: what was last found out, at the opening or since; and sees to it
  /// that it is looked at anew.
  [[nodiscard]] virtual Result<BackingState> last_look() = 0;
  /// Bytes of a range that have no room beneath yet (holes of a file).
  [[nodiscard]] virtual Result<std::uint64_t> holes(std::uint64_t offset,
                                                    std::uint64_t length) const = 0;
  /// Takes the room for the first `size` bytes from what lies beneath, now. no_space: there is
  /// less; unsupported: it cannot do that.
  virtual Result<void> take_room(std::uint64_t size);
  /// The first byte at or after `offset` that may not be zero, at most `limit`: lets readers skip
  /// holes. `offset` where nobody can tell.
  [[nodiscard]] virtual std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) = 0;

  // ---- its requests

  /// What it has done; zeros of a store that keeps no account.
  [[nodiscard]] virtual DeviceActivity activity() const = 0;
  /// Called for each request that failed, before who asked for it goes on; not for a
  /// discard or zeroing that the store cannot do (EOPNOTSUPP).
  virtual void on_failure(std::function<void(const Failure&)> f) = 0;
  /// From now on a store in memory, of which a read is but a copy, has a share of the reads that
  /// may be shared made by a work thread; with nullptr, no longer. Others let the kernel read.
  virtual void share_reads(WorkBatches* batches) = 0;

 protected:
  /// no_space: "NAME has A bytes and B are needed; make it larger first".
  [[nodiscard]] Error too_small(std::uint64_t size, std::uint64_t needed) const;
};

}  // namespace uvdo
