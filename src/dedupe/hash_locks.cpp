// SPDX-License-Identifier: GPL-2.0-or-later
#include "dedupe/hash_locks.h"

#include <cstring>

namespace uvdo {

HashLocks::Joined HashLocks::join(const RecordName& name, const std::byte* data) {
  // The table's key is a part of the name: two names that share it are treated as one name with two
  // contents. Either is so rare that the latecomer is written without any lock (behaviour.md, 7).
  if (HashLock** found = index_.find(name.hash())) {
    HashLock& lock = **found;
    if (lock.name != name || std::memcmp(lock.data, data, kBlockSize) != 0) {
      return {Role::collision, nullptr};
    }
    ++lock.users;
    // An agent that waits in the packer for company keeps its followers: it is to come out.
    if (lock.hurry != nullptr) lock.hurry->hurry();
    return {Role::follower, &lock};
  }
  HashLock& lock = locks_.take(executor_);
  lock.name = name;
  lock.data = data;
  lock.is_settled = false;
  lock.location.reset();
  lock.users = 1;
  lock.is_watched = false;
  lock.hurry = nullptr;
  index_.insert(name.hash(), &lock);
  return {Role::agent, &lock};
}

void HashLocks::settle(HashLock& lock, std::optional<BlockMapping> location) {
  check(!lock.is_settled, "a hash lock was settled twice");
  lock.is_settled = true;
  lock.location = location;
  // Out of the table before anybody is woken: who joins from here on is an agent of its own and
  // asks the index.
  index_.erase(lock.name.hash());
  lock.settled.wake_all();
  release(lock);
}

void HashLocks::release(HashLock& lock) {
  check(lock.users > 0, "a hash lock was left once too often");
  if (--lock.users == 0) locks_.give(lock);
}

}  // namespace uvdo
