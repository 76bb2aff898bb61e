// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/lease_keeper.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <utility>

#include <fmt/core.h>
#include <unistd.h>

#include "base/aligned_memory.h"
#include "base/check.h"
#include "format/uuid_text.h"

namespace uvdo {
namespace {

/// Records that lead to others.
constexpr unsigned kMostMoves = 8;

/// It goes on while the machine sleeps.
Lease::Time now() {
  timespec time{};
  check(clock_gettime(CLOCK_BOOTTIME, &time) == 0, "the clock of a lease");
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string owner_text(const OwnerRecord& owner) {
  return fmt::format("{} (process {})", owner.host.empty() ? "another machine" : owner.host,
                     owner.process);
}

Error in_use(const std::string& store, const OwnerRecord& owner) {
  return {Errc::busy,
          fmt::format("{} is in use by {}; end the server there", store, owner_text(owner))};
}

Error no_record(const std::string& store) {
  return {Errc::not_found, fmt::format("{} has no record of its owner", store)};
}

}  // namespace

OwnerRecord owner_here() {
  OwnerRecord here;
  here.owner = random_uuid();
  std::string text;
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  if (std::getline(file, text)) here.boot = uuid_of(text).value_or(Uuid{});
  here.process = static_cast<std::uint32_t>(getpid());
  std::array<char, 65> name{};
  if (gethostname(name.data(), name.size() - 1) == 0) here.host = name.data();
  return here;
}

Result<std::optional<FoundRecord>> find_owner_record(RecordStorage& storage,
                                                     const RecordPlace& place) {
  const AlignedMemory block(kBlockSize);
  std::uint64_t offset = place.offset;
  for (unsigned moves = 0; moves < kMostMoves; ++moves) {
    if (auto read = storage.read(offset, block.bytes()); !read) return std::move(read).error();
    auto record = decode_owner_record(block.bytes(), place.nonce);
    if (!record) return std::move(record).error().within(place.store);
    if (!*record) return std::optional<FoundRecord>();
    if ((*record)->state != OwnerRecord::State::elsewhere) {
      return std::optional(FoundRecord{std::move(**record), offset});
    }
    offset = (*record)->next_place;
  }
  return Error(Errc::corrupt, fmt::format("{} has a record of its owner that leads nowhere; write "
                                          "it anew by uvdo lease --force",
                                          place.store));
}

Result<void> check_is_not_renewed(RecordStorage& storage, const RecordPlace& place,
                                  const FoundRecord& found) {
  const Lease::Time end = now() + found.record.lease() / 2;
  while (now() < end) {
    std::this_thread::sleep_for(found.record.lease() / 20);
    auto again = find_owner_record(storage, place);
    if (!again) return std::move(again).error();
    if (*again && (*again)->record != found.record &&
        (*again)->record.state != OwnerRecord::State::free) {
      return in_use(place.store, (*again)->record);
    }
  }
  return {};
}

LeaseKeeper::LeaseKeeper(std::unique_ptr<RecordStorage> storage, RecordPlace place, Lease lease)
    : storage_(std::move(storage)), place_(std::move(place)), lease_(std::move(lease)) {}

Result<std::unique_ptr<LeaseKeeper>> LeaseKeeper::claim(
    std::unique_ptr<RecordStorage> storage, RecordPlace place, const Claimant& claimant,
    const std::function<void(const std::string&)>& tell) {
  auto found = find_owner_record(*storage, place);
  if (!found) return std::move(found).error();
  if (!*found) return no_record(place.store);
  place.offset = (*found)->offset;
  std::unique_ptr<LeaseKeeper> keeper(
      new LeaseKeeper(std::move(storage), std::move(place), Lease(claimant)));
  if (auto acquired = keeper->acquire(tell); !acquired) return std::move(acquired).error();
  keeper->thread_ = std::thread([it = keeper.get()] { it->keep(); });
  return keeper;
}

Result<void> LeaseKeeper::acquire(const std::function<void(const std::string&)>& tell) {
  bool has_told = false;
  while (!lease_.holds(now())) {
    const Lease::Step step = lease_.next(now());
    if (step.kind == Lease::Step::Kind::end) return refusal();
    if (auto done = carry_out(step); !done) return done;
    if (lease_.phase() == Lease::Phase::watching && !std::exchange(has_told, true)) {
      tell(fmt::format("{} was in use by {}, of which there must be no sign for {} seconds",
                       place_.store, owner_text(lease_.seen()),
                       lease_.seen().lease_seconds * 5 / 4));
    }
  }
  publish();
  return {};
}

Error LeaseKeeper::refusal() const {
  if (lease_.phase() == Lease::Phase::refused) return in_use(place_.store, lease_.seen());
  return {Errc::io, fmt::format("{} takes too long to write the record of its owner; give it a "
                                "longer lease by uvdo lease --seconds",
                                place_.store)};
}

Result<void> LeaseKeeper::write(const OwnerRecord& record, std::uint64_t offset) {
  const AlignedMemory block(kBlockSize);
  encode_owner_record(record, place_.nonce, block.bytes());
  return storage_->write(offset, block.bytes());
}

Result<void> LeaseKeeper::carry_out(const Lease::Step& step) {
  const Lease::Time sent = now();
  switch (step.kind) {
    case Lease::Step::Kind::sleep:
      std::this_thread::sleep_for(std::max(step.until - sent, Lease::Time(0)));
      return {};
    case Lease::Step::Kind::read: {
      auto found = find_owner_record(*storage_, place_);
      if (!found) return std::move(found).error();
      if (!*found) return no_record(place_.store);
      place_.offset = (*found)->offset;
      lease_.was_read(sent, now(), (*found)->record);
      return {};
    }
    case Lease::Step::Kind::write: {
      auto written = write(step.record, place_.offset);
      if (written) lease_.was_written(sent, now());
      return written;
    }
    case Lease::Step::Kind::end: return {};
  }
  return {};
}

void LeaseKeeper::publish() {
  valid_until_.store(lease_.valid_until().count(), std::memory_order_release);
  const std::lock_guard lock(why_mutex_);
  why_lost_ = loss();
}

void LeaseKeeper::keep() {
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    const Lease::Step step = lease_.next(now());
    switch (step.kind) {
      case Lease::Step::Kind::end: return;
      case Lease::Step::Kind::sleep:
        changed_.wait_for(lock, std::max(step.until - now(), Lease::Time(0)));
        continue;
      case Lease::Step::Kind::read:
      case Lease::Step::Kind::write: break;
    }
    if (auto done = carry_out(step); !done) {
      last_failure_ = done.error().message();
      // Its record is gone: whoever wrote over it knows nothing of this owner.
      if (done.error().code() == Errc::not_found) lease_.lose();
      lease_.has_failed(now());
    }
    publish();
  }
}

LeaseKeeper::~LeaseKeeper() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    changed_.notify_all();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  // An owner that has died is found out as well, only later.
  if (lease_.holds(now())) {
    static_cast<void>(write(lease_.record(OwnerRecord::State::free), place_.offset));
  }
}

bool LeaseKeeper::holds() const {
  return now().count() < valid_until_.load(std::memory_order_acquire);
}

std::string LeaseKeeper::why_lost() const {
  const std::lock_guard lock(why_mutex_);
  return why_lost_;
}

/// What is to be said if it does not hold.
std::string LeaseKeeper::loss() const {
  if (lease_.phase() == Lease::Phase::lost && lease_.seen().generation > 0 &&
      lease_.seen().owner != lease_.record(OwnerRecord::State::held).owner) {
    return fmt::format("{} has taken {} over", owner_text(lease_.seen()), place_.store);
  }
  return fmt::format("the lease of {} could not be renewed in time{}{}; another server may have it",
                     place_.store, last_failure_.empty() ? "" : ": ", last_failure_);
}

Result<void> LeaseKeeper::move(std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (offset == place_.offset) return {};
  if (!lease_.holds(now())) return Error(Errc::read_only, "the lease is lost");
  if (auto written = write(lease_.record(OwnerRecord::State::held), offset); !written) {
    return written;
  }
  OwnerRecord word = lease_.record(OwnerRecord::State::elsewhere);
  word.next_place = offset;
  auto left = write(word, place_.offset);
  if (!left) return left;
  place_.offset = offset;
  // Who claims has looked at the old place until then.
  if (!lease_.holds(now())) {
    lease_.lose();
    publish();
    return Error(Errc::read_only, "the lease is lost");
  }
  return {};
}

}  // namespace uvdo
