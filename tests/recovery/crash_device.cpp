// SPDX-License-Identifier: GPL-2.0-or-later
#include "crash_device.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace uvdo {

void CrashDevice::submit(Request& request) {
  std::size_t slot = 0;
  while (slot < flights_.size() && flights_[slot].request != nullptr) ++slot;
  if (slot == flights_.size()) flights_.emplace_back();
  // A flush covers what has completed by now, not what completes while it is under way.
  flights_[slot] = {&request, completed_};
  executor_.call_at(executor_.now() + Duration(random_.below(20'000)), &complete, this, slot);
}

void CrashDevice::complete(void* device, std::uint64_t slot) {
  auto& self = *static_cast<CrashDevice*>(device);
  const Flight flight = std::exchange(self.flights_[slot], Flight{});
  self.perform(*flight.request, flight.covered);
  self.executor_.post(flight.request->waiter);
}

void CrashDevice::perform(Request& request, std::uint64_t covered) {
  // The write that is one too many never happens, and nothing behind it does.
  const bool is_cut = failed_ || (request.op == Op::write && writes_left_ == 0);
  if (is_cut || request.offset + request.length > size_) {
    failed_ |= is_cut;
    request.error = EIO;
    return;
  }
  if (request.op == Op::write && std::exchange(fail_next_, false)) {
    request.error = EIO;
    return;
  }
  switch (request.op) {
    case Op::discard:
    case Op::write_zeroes: request.error = EOPNOTSUPP; break;
    case Op::read: read(request); break;
    case Op::flush:
      ++flushes_;
      flush(covered);
      break;
    case Op::write:
      ++writes_;
      --writes_left_;
      write(request);
      break;
  }
}

void CrashDevice::read(const Request& request) const {
  std::uint64_t block = request.offset / kBlockSize;
  for (const iovec& slice : request.slices) {
    for (std::size_t at = 0; at < slice.iov_len; at += kBlockSize, ++block) {
      auto* out = static_cast<std::byte*>(slice.iov_base) + at;
      const auto found = current_.find(block);
      if (found == current_.end()) {
        std::memset(out, 0, kBlockSize);
      } else {
        std::memcpy(out, found->second.data(), kBlockSize);
      }
    }
  }
}

void CrashDevice::flush(std::uint64_t covered) {
  while (!cache_.empty() && cache_.front().number <= covered) {
    durable_[cache_.front().block] = cache_.front().data;
    cache_.pop_front();
  }
}

void CrashDevice::write(const Request& request) {
  std::uint64_t block = request.offset / kBlockSize;
  for (const iovec& slice : request.slices) {
    for (std::size_t at = 0; at < slice.iov_len; at += kBlockSize, ++block) {
      CachedWrite cached{++completed_, block, {}};
      std::memcpy(cached.data.data(), static_cast<const std::byte*>(slice.iov_base) + at,
                  kBlockSize);
      current_[block] = cached.data;
      if (request.durability == Durability::fua) {
        // What was written to the same place before must not come back over it.
        std::erase_if(cache_, [&](const CachedWrite& older) { return older.block == block; });
        durable_[block] = cached.data;
      } else {
        cache_.push_back(cached);
      }
    }
  }
}

DiskContent CrashDevice::survivors(Survival survival, std::mt19937_64& random) const {
  if (survival == Survival::everything) return current_;
  DiskContent content = durable_;
  if (survival == Survival::nothing) return content;
  for (const CachedWrite& cached : cache_) {
    const std::uint64_t bits = random();
    auto& block = content[cached.block];
    for (std::size_t sector = 0; sector < 8; ++sector) {
      // Half of the writes as a whole, or not; the others torn.
      const bool kept = (bits & 256U) != 0 ? (bits & 1U) != 0 : (bits >> sector & 1U) != 0;
      if (!kept) continue;
      std::memcpy(block.data() + sector * kSectorSize, cached.data.data() + sector * kSectorSize,
                  kSectorSize);
    }
  }
  return content;
}

}  // namespace uvdo
