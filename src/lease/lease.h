// SPDX-License-Identifier: GPL-2.0-or-later
// How the record of an owner is read and written so that a volume has one owner at a time: what is
// to be done next, and what follows from what was found. It makes no requests and knows no clock,
// so that a simulation can have many of them, and let each of their requests take any time.
//
// Of any number of them, on machines whose clocks run equally fast to within a quarter:
//
// - The owner writes the record anew each fifth part of a lease. It relies on that for three
//   quarters of a lease from before the request was made, and only if the answer came while it
//   still relied on the one before: so a record that is written late helps nobody.
// - Whoever wants the volume and finds another owner's record watches it for five quarters of a
//   lease, by its own clock. If it changes, the volume is in use.
// - If it does not, the claim is written, which must not take longer than half of the time that is
//   waited then; and it must still be there afterwards. Of several who claim, all others have read
//   the old record before the first claim was written, so that theirs were written before the
//   first of them looks again (Fischer's algorithm): one of them finds its own.
// - An owner that finds a later one, or relied on a record for too long, is none for ever.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "lease/owner_record.h"

namespace uvdo {

/// Who claims a volume, and of whom is known that they will never go on.
struct Claimant {
  OwnerRecord self;  ///< owner, boot, process, host
  std::optional<Uuid> ended;
  bool same_boot = false;  ///< all that were on this machine

  /// Whether nobody has the volume, going by that.
  [[nodiscard]] bool knows_the_end_of(const OwnerRecord& record) const {
    if (record.state == OwnerRecord::State::free || (ended && record.owner == *ended)) return true;
    return same_boot && record.boot == self.boot;
  }
};

class Lease {
 public:
  /// By a clock that goes on while the machine sleeps.
  using Time = std::chrono::nanoseconds;

  enum class Phase : std::uint8_t {
    looking,   ///< what the record says
    watching,  ///< whether it changes
    claiming,
    settling,  ///< whether others claim
    taking,
    holding,
    renewing,  ///< has looked at the record, and writes it
    refused,   ///< somebody else has it: seen()
    too_slow,  ///< the storage was, for a claim
    lost,
  };

  /// What the owner is to do. A request may be made later, or never.
  struct Step {
    enum class Kind : std::uint8_t { read, write, sleep, end };
    Kind kind = Kind::end;
    Time until{0};       ///< of a sleep
    OwnerRecord record;  ///< of a write
  };

  explicit Lease(Claimant claimant) : claimant_(std::move(claimant)) {}

  [[nodiscard]] Step next(Time now) const;
  /// A read that was made at `sent` has found the record. A write was answered. Which of them was
  /// asked for by the last next().
  void was_read(Time sent, Time now, const OwnerRecord& found);
  void was_written(Time sent, Time now);
  /// The request has failed: it is made anew.
  void has_failed(Time now);

  [[nodiscard]] Phase phase() const { return phase_; }
  /// Whether the volume may be written, and what was read be relied on.
  [[nodiscard]] bool holds(Time now) const { return now < valid_until(); }
  /// How long, as far as is known; 0: it is no owner.
  [[nodiscard]] Time valid_until() const { return is_owner() ? valid_until_ : Time(0); }
  /// What was found last, of somebody else if it was refused or lost.
  [[nodiscard]] const OwnerRecord& seen() const { return seen_; }
  /// What it would write now, as owner.
  [[nodiscard]] OwnerRecord record(OwnerRecord::State state) const;
  /// It relied on its record for too long, or something else is wrong.
  void lose() { phase_ = Phase::lost; }

 private:
  /// How long whoever claims waits for others.
  [[nodiscard]] Time settling_time() const;
  [[nodiscard]] bool is_owner() const {
    return phase_ == Phase::holding || phase_ == Phase::renewing;
  }
  void look_at(Time sent, Time now, const OwnerRecord& found);
  void claim(Time sent, const OwnerRecord& found);
  void renew(const OwnerRecord& found);

  [[nodiscard]] OwnerRecord& self() { return claimant_.self; }
  [[nodiscard]] const OwnerRecord& self() const { return claimant_.self; }

  Claimant claimant_;

  Phase phase_ = Phase::looking;
  OwnerRecord seen_;
  Time next_{0};  // when the next request is due
  Time watch_until_{0};
  Time claim_began_{0};  // when the read was made that showed the record as it was
  Time valid_until_{0};
  unsigned claims_ = 0;
};

}  // namespace uvdo
