// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/lease.h"

#include <algorithm>

#include "base/check.h"

namespace uvdo {
namespace {

constexpr unsigned kMostClaims = 3;
constexpr Lease::Time kLongestSettling = std::chrono::seconds(2);

}  // namespace

Lease::Time Lease::settling_time() const { return std::min(self().lease() / 4, kLongestSettling); }

OwnerRecord Lease::record(OwnerRecord::State state) const {
  OwnerRecord record = self();
  record.state = state;
  return record;
}

Lease::Step Lease::next(Time now) const {
  Step step;
  step.until = next_;
  const bool is_due = now >= next_;
  switch (phase_) {
    case Phase::looking: step.kind = Step::Kind::read; break;
    case Phase::watching:
    case Phase::settling:
    case Phase::holding: step.kind = is_due ? Step::Kind::read : Step::Kind::sleep; break;
    case Phase::claiming:
      step.kind = Step::Kind::write;
      step.record = record(OwnerRecord::State::claimed);
      break;
    case Phase::taking:
    case Phase::renewing:
      step.kind = Step::Kind::write;
      step.record = record(OwnerRecord::State::held);
      break;
    case Phase::refused:
    case Phase::too_slow:
    case Phase::lost: step.kind = Step::Kind::end; break;
  }
  return step;
}

void Lease::claim(Time sent, const OwnerRecord& found) {
  self().generation = found.generation + 1;
  self().beat = 0;
  claim_began_ = sent;
  phase_ = Phase::claiming;
}

void Lease::look_at(Time sent, Time now, const OwnerRecord& found) {
  const bool is_new = phase_ == Phase::looking || found != seen_;
  const bool is_watched = phase_ == Phase::watching;
  seen_ = found;
  self().lease_seconds = found.lease_seconds;
  if (claimant_.knows_the_end_of(found)) return claim(sent, found);
  if (is_new && is_watched) {
    phase_ = Phase::refused;
    return;
  }
  if (is_watched && sent >= watch_until_) return claim(sent, found);
  if (!is_watched) watch_until_ = now + found.lease() * 5 / 4;
  phase_ = Phase::watching;
  next_ = now + found.lease() / 8;
}

void Lease::was_read(Time sent, Time now, const OwnerRecord& found) {
  switch (phase_) {
    case Phase::looking:
    case Phase::watching: return look_at(sent, now, found);
    case Phase::settling:
      seen_ = found;
      phase_ = found == record(OwnerRecord::State::claimed) ? Phase::taking : Phase::refused;
      return;
    case Phase::holding: return renew(found);
    case Phase::claiming:
    case Phase::taking:
    case Phase::renewing:
    case Phase::refused:
    case Phase::too_slow:
    case Phase::lost: check(false, "a lease read what it did not ask for");
  }
}

/// Of earlier owners a record may come late; it is written over.
void Lease::renew(const OwnerRecord& found) {
  const bool is_later = found.owner != self().owner && found.generation > self().generation &&
                        found.state != OwnerRecord::State::claimed;
  if (is_later) {
    seen_ = found;
    return lose();
  }
  ++self().beat;
  phase_ = Phase::renewing;
}

void Lease::was_written(Time sent, Time now) {
  switch (phase_) {
    case Phase::claiming:
      // It may stand over a claim that somebody has looked at already, and rightly found theirs.
      if (now - claim_began_ > settling_time() / 2) {
        phase_ = ++claims_ < kMostClaims ? Phase::looking : Phase::too_slow;
        return;
      }
      // Nobody else claims before it has seen this one for five quarters of a lease.
      valid_until_ = sent + self().lease() * 3 / 4;
      next_ = now + settling_time();
      phase_ = Phase::settling;
      return;
    case Phase::taking:
    case Phase::renewing:
      if (now >= valid_until_) return lose();
      valid_until_ = sent + self().lease() * 3 / 4;
      next_ = now + self().lease() / 5;
      phase_ = Phase::holding;
      return;
    case Phase::looking:
    case Phase::watching:
    case Phase::settling:
    case Phase::holding:
    case Phase::refused:
    case Phase::too_slow:
    case Phase::lost: check(false, "a lease wrote what it did not ask for");
  }
}

void Lease::has_failed(Time now) {
  if (!is_owner()) return;
  if (now >= valid_until_) return lose();
  // Looked at anew: what failed may have been done.
  phase_ = Phase::holding;
  next_ = now + self().lease() / 20;
}

}  // namespace uvdo
