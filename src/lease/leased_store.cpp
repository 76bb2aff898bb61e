// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/leased_store.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/core.h>
#include <unistd.h>

#include "async/blocking_call.h"
#include "base/print.h"
#include "base/store_name.h"

namespace uvdo {

LeasedStore::LeasedStore(UringLoop& loop, std::unique_ptr<BackingStore> inner,
                         std::unique_ptr<LeaseKeeper> keeper, RecordPlace place, Claim claim)
    : loop_(loop),
      inner_(std::move(inner)),
      keeper_(std::move(keeper)),
      place_(std::move(place)),
      claim_(std::move(claim)) {
  inner_->send_while([this] { return !is_lost(); });
  loop_.before_submission([this] { static_cast<void>(is_lost()); });
}

/// The lease is given back when the store can send nothing more.
LeasedStore::~LeasedStore() {
  loop_.before_submission({});
  inner_.reset();
}

/// Of a file or disk requests are queued in the loop, and cannot be taken back from there. If there
/// are any when it is found out that the lease is over, as after a process was stopped, there is
/// one way not to make them.
bool LeasedStore::is_lost() {
  if (hold_ == Hold::lost) return true;
  if (keeper_ == nullptr || keeper_->holds()) return false;
  hold_ = Hold::lost;
  if (is_path(name()) && loop_.unsubmitted() > 0) {
    print_error("uvdo: the lease of {} was over before its requests were made: this server ends\n",
                name());
    _exit(EXIT_FAILURE);
  }
  return true;
}

void LeasedStore::submit(Request& request) {
  // Right before the store's own: a process that was stopped meanwhile must not send it.
  if (!is_lost()) return inner_->submit(request);
  request.error = EIO;
  request.done = true;
}

Task<Result<void>> LeasedStore::will_leave_unused(std::optional<std::uint64_t> unused) {
  if (keeper_ == nullptr) co_return Error(Errc::busy, fmt::format("{} is not open", name()));
  if (!unused) {
    co_return Error(Errc::no_space,
                    "so large its slabs would leave no block for the record of the volume's owner; "
                    "choose another size, or end the record by uvdo lease --off");
  }
  const auto move = [this, unused] { return keeper_->move(*unused); };
  Result<void> moved = co_await call_blocking(loop_, Descriptors::shared, move);
  if (moved) place_.offset = *unused;
  co_return moved;
}

Result<void> LeasedStore::release() {
  if (auto released = inner_->release(); !released) return released;
  keeper_.reset();
  return {};
}

Result<void> LeasedStore::reopen() {
  if (hold_ == Hold::lost) return loss();
  if (auto opened = inner_->reopen(); !opened) return opened;
  auto claimed = claim_(place_);
  if (!claimed) {
    static_cast<void>(inner_->release());
    return std::move(claimed).error();
  }
  keeper_ = std::move(*claimed);
  return {};
}

Error LeasedStore::loss() const {
  return {Errc::read_only,
          fmt::format("{}; this one can neither write nor read it any more",
                      keeper_ == nullptr ? "the lease is lost" : keeper_->why_lost())};
}

Result<BackingState> LeasedStore::look() const {
  if (hold_ == Hold::lost) return loss();
  return inner_->look();
}

Result<BackingState> LeasedStore::last_look() {
  auto state = inner_->last_look();
  if (is_lost()) return loss();
  return state;
}

}  // namespace uvdo
