// SPDX-License-Identifier: GPL-2.0-or-later
// Equal data in flight: the first writer of a record name is the agent that finds or makes the
// block; writers of the same data that come meanwhile wait for it and share (behaviour.md, 7).
//
// What holds here: a name in the table has one lock, not settled. Followers have been compared with
// the agent's data, all 4096 bytes, in memory. An agent settles in any case, also where it failed,
// so a follower never waits for ever.
#pragma once

#include <algorithm>
#include <optional>

#include "async/wait_queue.h"
#include "base/flat_map.h"
#include "base/object_pool.h"
#include "dedupe/hurry.h"
#include "format/block_mapping.h"
#include "format/record_name.h"

namespace uvdo {

/// What the writers of one name share. It is found by its name until it settles, and is given back
/// to the pool when the last of its users has left.
struct HashLock {
  explicit HashLock(Executor& executor) : settled(executor) {}
  RecordName name;
  const std::byte* data = nullptr;  ///< the agent's; valid until it settles
  bool is_settled = false;
  std::optional<BlockMapping> location;  ///< where the agent's data are; nothing if it failed
  // The agent until it settles, and each follower until it leaves.
  std::uint32_t users = 0;
  bool is_watched = false;  ///< the depot tells followers whether `location` has been freed
  Hurry* hurry = nullptr;
  WaitQueue settled;
};

class HashLocks {
 public:
  /// Takes the memory for `blocks` that are being stored at once now.
  HashLocks(Executor& executor, std::size_t blocks)
      : executor_(executor), index_(std::min(blocks, kUsual)), locks_(blocks) {
    index_.reserve(blocks);
  }
  HashLocks(const HashLocks&) = delete;
  HashLocks& operator=(const HashLocks&) = delete;

  enum class Role : std::uint8_t {
    agent,      ///< first of its name
    follower,   ///< somebody stores the same data right now
    collision,  ///< somebody stores other data with the same name (or nearly)
  };
  struct Joined {
    Role role = Role::collision;
    HashLock* lock = nullptr;
  };
  /// Joins the writers of `name`. `data` are 4096 bytes that an agent keeps until settle().
  Joined join(const RecordName& name, const std::byte* data);
  /// The agent is done: followers learn where the data are; who comes later asks the index.
  void settle(HashLock& lock, std::optional<BlockMapping> location);
  /// A follower is done with the lock.
  void leave(HashLock& lock) { release(lock); }
  [[nodiscard]] std::size_t size() const { return index_.size(); }

 private:
  static constexpr std::size_t kUsual = 2048;
  /// One user fewer.
  void release(HashLock& lock);
  Executor& executor_;
  FlatMap<HashLock*> index_;
  ObjectPool<HashLock> locks_;
};

}  // namespace uvdo
