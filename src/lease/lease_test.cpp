// SPDX-License-Identifier: GPL-2.0-or-later
// Many machines, one record: requests take any time up to half of a lease, or fail and are done
// all the same; machines stop for any time and go on, die and come back; clocks differ.
#include "lease/lease.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_random.h"

namespace uvdo {
namespace {

using Time = Lease::Time;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kLeaseSeconds = 20;
constexpr Time kLease = seconds(kLeaseSeconds);

OwnerRecord free_record() {
  OwnerRecord record;
  record.state = OwnerRecord::State::free;
  record.lease_seconds = kLeaseSeconds;
  return record;
}

OwnerRecord self(std::uint8_t number) {
  OwnerRecord record = free_record();
  record.owner[0] = std::byte{number};
  record.boot[0] = std::byte{number};
  return record;
}

/// How badly a history goes.
struct Hardship {
  std::uint64_t stall_one_in = 0;  ///< one step in so many comes late, by up to three leases
  std::uint64_t fail_one_in = 0;
  std::uint64_t die_one_in = 0;
  Time slowest = milliseconds(20);  ///< a request
  bool clocks_differ = false;
};

class History {
 public:
  History(std::uint64_t seed, Hardship hardship) : random_(seed), hardship_(hardship) {
    for (std::uint8_t i = 0; i < 3; ++i) {
      nodes_.push_back(std::make_unique<Node>());
      nodes_.back()->drift = hardship_.clocks_differ ? 0.95 + 0.1 * fraction() : 1.0;
      be_born(*nodes_.back());
    }
  }

  void run(Time end) {
    while (!events_.empty() && now_ < end && trouble_.empty()) {
      const auto event = events_.begin();
      now_ = event->first;
      const auto act = std::move(event->second);
      events_.erase(event);
      act();
      look();
    }
  }

  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] unsigned owners_so_far() const { return owners_so_far_; }

 private:
  struct Node {
    std::unique_ptr<Lease> lease;
    double drift = 1.0;
    std::uint64_t life = 0;  // what comes for an earlier one is not for this
    bool held = false;
  };

  double fraction() { return static_cast<double>(random_.below(1'000'000)) / 1e6; }
  bool chance(std::uint64_t one_in) { return one_in != 0 && random_.below(one_in) == 0; }
  Time clock(const Node& node) const {
    return Time(static_cast<Time::rep>(static_cast<double>(now_.count()) * node.drift));
  }
  void at(Time when, std::function<void()> act) { events_.emplace(when, std::move(act)); }
  Time stall() {
    if (!chance(hardship_.stall_one_in)) return Time(0);
    return Time(static_cast<Time::rep>(fraction() * 3 * static_cast<double>(kLease.count())));
  }
  Time part_of(Time most) {
    return Time(static_cast<Time::rep>(fraction() * static_cast<double>(most.count())));
  }
  void be_born(Node& node) {
    ++node.life;
    node.held = false;
    node.lease = std::make_unique<Lease>(Claimant{self(++born_), std::nullopt, false});
    at(now_ + part_of(kLease), [this, &node, life = node.life] { go_on(node, life); });
  }

  void go_on(Node& node, std::uint64_t life) {
    if (node.life != life) return;
    if (chance(hardship_.die_one_in)) return be_born(node);
    const Lease::Step step = node.lease->next(clock(node));
    switch (step.kind) {
      case Lease::Step::Kind::sleep: {
        const auto left = static_cast<double>((step.until - clock(node)).count()) / node.drift;
        at(now_ + Time(static_cast<Time::rep>(left)) + milliseconds(1) + stall(),
           [this, &node, life] { go_on(node, life); });
        return;
      }
      case Lease::Step::Kind::end: return be_born(node);
      case Lease::Step::Kind::read:
      case Lease::Step::Kind::write: return request(node, step);
    }
  }

  /// It is done at some moment until it is answered, which the machine may see much later.
  void request(Node& node, const Lease::Step& step) {
    const Time sent = clock(node);
    // Between the look at the clock and the request, too, a machine may stop.
    const Time begun = now_ + stall();
    const Time slow = part_of(hardship_.slowest);
    const Time done = begun + part_of(slow);
    const bool fails = chance(hardship_.fail_one_in);
    auto found = std::make_shared<OwnerRecord>();
    const bool is_write = step.kind == Lease::Step::Kind::write;
    at(done, [this, is_write, found, record = step.record] {
      if (is_write) {
        record_ = record;
      } else {
        *found = record_;
      }
    });
    // A failure may be told before the request is done.
    const Time told = fails ? begun + part_of(slow) : begun + slow;
    at(told + stall(), [this, &node, life = node.life, is_write, fails, found, sent] {
      if (node.life != life) return;
      const Time now = clock(node);
      if (fails) {
        if (!node.held) return be_born(node);
        node.lease->has_failed(now);
      } else if (is_write) {
        node.lease->was_written(sent, now);
      } else {
        node.lease->was_read(sent, now, *found);
      }
      go_on(node, life);
    });
  }

  /// One owner at a time; and what an owner has sent arrives before there is another one.
  void look() {
    unsigned owners = 0;
    for (const auto& node : nodes_) {
      const bool holds = node->lease->holds(clock(*node));
      if (holds && !node->held) ++owners_so_far_;
      node->held = holds;
      if (!holds) continue;
      ++owners;
      if (!chance(8)) continue;
      at(now_ + part_of(kLease / 2 - seconds(1)), [this, sender = node.get(), life = node->life] {
        for (const auto& other : nodes_) {
          const bool is_other = other.get() != sender || other->life != life;
          if (is_other && other->lease->holds(clock(*other))) trouble_ = "a late write arrived";
        }
      });
    }
    if (owners > 1) trouble_ = "there are two owners";
  }

  SimRandom random_;
  Hardship hardship_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::multimap<Time, std::function<void()>> events_;
  Time now_{0};
  OwnerRecord record_ = free_record();
  std::uint8_t born_ = 0;
  unsigned owners_so_far_ = 0;
  std::string trouble_;
};

void try_histories(std::uint64_t first, std::uint64_t count, const Hardship& hardship,
                   unsigned owners_at_least) {
  unsigned owners = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    History history(seed, hardship);
    history.run(kLease * 40);
    ASSERT_EQ(history.trouble(), "") << "seed " << seed;
    owners += history.owners_so_far();
  }
  EXPECT_GE(owners, owners_at_least);
}

TEST(LeaseHistories, WithoutTroubleTheFirstOneKeepsIt) {
  try_histories(1, 50, {}, 50);
  History history(7, {});
  history.run(kLease * 40);
  EXPECT_EQ(history.owners_so_far(), 1U);
}

TEST(LeaseHistories, OwnersThatStopAndGoOnAreNoneAnyMore) {
  try_histories(1000, 300, {.stall_one_in = 30}, 600);
}

TEST(LeaseHistories, RequestsThatAreSlowOrFailLetNoSecondOneIn) {
  try_histories(2000, 200, {.fail_one_in = 10, .slowest = kLease / 2 - seconds(1)}, 10);
  try_histories(3000, 200, {.fail_one_in = 20, .slowest = seconds(1)}, 200);
}

TEST(LeaseHistories, OwnersThatDieAreFollowedByOthers) {
  try_histories(4000, 300, {.die_one_in = 40}, 900);
}

TEST(LeaseHistories, AllOfThatAtOnceWithClocksThatDiffer) {
  try_histories(5000, 3000,
                {.stall_one_in = 40,
                 .fail_one_in = 40,
                 .die_one_in = 100,
                 .slowest = seconds(2),
                 .clocks_differ = true},
                4000);
}

// ---- what a user meets

struct LeaseTest : testing::Test {
  static OwnerRecord of_other() {
    OwnerRecord other = self(9);
    other.state = OwnerRecord::State::held;
    other.generation = 4;
    other.host = "elsewhere";
    return other;
  }
  /// Answers at once until something is to be waited for, or it has ended.
  void go_on(Lease& lease) {
    for (auto step = lease.next(now);
         step.kind == Lease::Step::Kind::read || step.kind == Lease::Step::Kind::write;
         step = lease.next(now)) {
      if (step.kind == Lease::Step::Kind::write) {
        record = step.record;
        lease.was_written(now, now);
      } else {
        lease.was_read(now, now, record);
      }
    }
  }
  void wait(Lease& lease) {
    now = lease.next(now).until;
    go_on(lease);
  }

  Time now = seconds(100);
  OwnerRecord record = free_record();
};

TEST_F(LeaseTest, AFreeVolumeIsHadAfterAMoment) {
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  EXPECT_EQ(lease.phase(), Lease::Phase::settling);
  EXPECT_FALSE(lease.holds(now));
  wait(lease);
  EXPECT_TRUE(lease.holds(now));
  EXPECT_EQ(now, seconds(102));
  EXPECT_EQ(record.state, OwnerRecord::State::held);
  EXPECT_EQ(record.generation, 1U);
}

TEST_F(LeaseTest, AnOwnerThatLivesIsNoticedWithItsNextBeat) {
  record = of_other();
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  EXPECT_EQ(lease.phase(), Lease::Phase::watching);
  ++record.beat;
  wait(lease);
  EXPECT_EQ(lease.phase(), Lease::Phase::refused);
  EXPECT_EQ(lease.seen().host, "elsewhere");
}

TEST_F(LeaseTest, AnOwnerThatIsSilentIsFollowedAfterFiveQuartersOfALease) {
  record = of_other();
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  while (lease.phase() == Lease::Phase::watching) wait(lease);
  EXPECT_GE(now, seconds(100) + kLease * 5 / 4);
  EXPECT_LE(now, seconds(100) + kLease * 11 / 8);
  wait(lease);
  EXPECT_TRUE(lease.holds(now));
  EXPECT_EQ(record.generation, 5U);
}

TEST_F(LeaseTest, ASuccessorOnTheSameMachineDoesNotWaitForIt) {
  record = of_other();
  Lease knows_the_dead(Claimant{self(1), of_other().owner, false});
  go_on(knows_the_dead);
  EXPECT_EQ(knows_the_dead.phase(), Lease::Phase::settling);
  record = of_other();
  OwnerRecord same = self(1);
  same.boot = record.boot;
  Lease same_machine(Claimant{same, std::nullopt, true});
  go_on(same_machine);
  EXPECT_EQ(same_machine.phase(), Lease::Phase::settling);
}

TEST_F(LeaseTest, AnOwnerReliesOnARecordForThreeQuartersOfALease) {
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  wait(lease);
  ASSERT_TRUE(lease.holds(now));
  const Time begun = now;
  EXPECT_TRUE(lease.holds(begun + kLease * 3 / 4 - Time(1)));
  EXPECT_FALSE(lease.holds(begun + kLease * 3 / 4));
  wait(lease);
  EXPECT_EQ(now, begun + kLease / 5);
  EXPECT_TRUE(lease.holds(begun + kLease * 9 / 10)) << "the record has been renewed";
}

TEST_F(LeaseTest, ARenewalThatIsAnsweredTooLateIsNone) {
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  wait(lease);
  now = lease.next(now).until;
  lease.was_read(now, now, record);
  ASSERT_EQ(lease.next(now).kind, Lease::Step::Kind::write);
  lease.was_written(now, now + kLease);
  EXPECT_EQ(lease.phase(), Lease::Phase::lost);
  EXPECT_EQ(lease.next(now).kind, Lease::Step::Kind::end);
}

TEST_F(LeaseTest, FailuresAreTriedAgainAsLongAsTheLeaseLasts) {
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  wait(lease);
  const Time begun = now;
  unsigned tries = 0;
  while (lease.phase() != Lease::Phase::lost) {
    const auto step = lease.next(now);
    if (step.kind == Lease::Step::Kind::sleep) {
      now = step.until;
    } else {
      lease.has_failed(now);
      ++tries;
    }
  }
  EXPECT_GT(tries, 5U);
  EXPECT_GE(now, begun + kLease * 3 / 4);
  EXPECT_LE(now, begun + kLease);
}

TEST_F(LeaseTest, AnOwnerGivesWayToALaterOneAndNotToAnEarlier) {
  Lease lease(Claimant{self(1), std::nullopt, false});
  go_on(lease);
  wait(lease);
  OwnerRecord earlier = of_other();
  earlier.generation = 0;
  record = earlier;
  wait(lease);
  EXPECT_TRUE(lease.holds(now));
  EXPECT_EQ(record.owner, self(1).owner);
  record = of_other();
  wait(lease);
  EXPECT_EQ(lease.phase(), Lease::Phase::lost);
  EXPECT_EQ(lease.seen().host, "elsewhere");
}

TEST_F(LeaseTest, AStoreThatIsTooSlowForAClaimIsToldOf) {
  Lease lease(Claimant{self(1), std::nullopt, false});
  while (lease.phase() != Lease::Phase::too_slow) {
    const auto step = lease.next(now);
    ASSERT_NE(step.kind, Lease::Step::Kind::end);
    if (step.kind == Lease::Step::Kind::sleep) {
      now = step.until;
    } else if (step.kind == Lease::Step::Kind::read) {
      lease.was_read(now, now, record);
    } else {
      lease.was_written(now, now + seconds(2));
      record = free_record();
    }
  }
  EXPECT_FALSE(lease.holds(now));
}

}  // namespace
}  // namespace uvdo
