// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/client_slots.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

using Answer = ClientSlots::Answer;
using Kind = ClientOrigin::Kind;

const ClientOrigin kUnix{};

ClientOrigin machine(std::uint8_t number) { return {Kind::ipv4, {127, 0, 0, number}}; }

/// Lets clients of `origin` in until one is refused; how many, and why no more.
std::pair<std::size_t, Answer> fill(ClientSlots& slots, const ClientOrigin& origin) {
  std::size_t count = 0;
  while (slots.ask(origin) == Answer::free) {
    slots.enter(origin);
    ++count;
  }
  return {count, slots.ask(origin)};
}

TEST(ClientSlots, OneMachineLeavesPlacesForOthers) {
  ClientSlots slots(256, true);
  EXPECT_EQ(fill(slots, machine(1)), (std::pair<std::size_t, Answer>(168, Answer::machine_full)));
  EXPECT_EQ(slots.ask(machine(2)), Answer::free);
}

TEST(ClientSlots, AllMachinesTogetherLeavePlacesForUnixSockets) {
  ClientSlots slots(256, true);
  fill(slots, machine(1));
  EXPECT_EQ(fill(slots, machine(2)), (std::pair<std::size_t, Answer>(56, Answer::network_full)));
  EXPECT_EQ(fill(slots, kUnix), (std::pair<std::size_t, Answer>(32, Answer::full)));
}

TEST(ClientSlots, WhereThereAreNoUnixSocketsNothingIsKeptForThem) {
  ClientSlots slots(8, false);
  EXPECT_EQ(fill(slots, machine(1)).first, 6U);
  EXPECT_EQ(fill(slots, machine(2)).first, 2U);
}

TEST(ClientSlots, FewPlacesAreSharedAsFarAsThatGoes) {
  for (const std::size_t most : {1U, 2U, 3U, 4U}) {
    ClientSlots slots(most, true);
    EXPECT_GE(fill(slots, machine(1)).first, 1U) << most;
    EXPECT_EQ(slots.ask(kUnix), most == 1 ? Answer::full : Answer::free) << most;
  }
}

TEST(ClientSlots, PlacesThatAreLeftAreFreeAgain) {
  ClientSlots slots(4, false);
  fill(slots, machine(1));
  slots.leave(machine(1));
  EXPECT_EQ(slots.ask(machine(1)), Answer::free);
  slots.leave(machine(9));
  EXPECT_EQ(fill(slots, machine(1)).first, 1U);
}

TEST(ClientSlots, KnowsWhoseLeavingWouldHelp) {
  ClientSlots slots(8, true);
  fill(slots, machine(1));
  EXPECT_TRUE(slots.would_help(machine(1), machine(1)));
  EXPECT_FALSE(slots.would_help(kUnix, machine(1)));
  fill(slots, machine(2));
  EXPECT_TRUE(slots.would_help(machine(1), machine(3)));
  fill(slots, kUnix);
  EXPECT_TRUE(slots.would_help(machine(1), machine(3)));
  EXPECT_FALSE(slots.would_help(kUnix, machine(3))) << "that place is for unix sockets";
  EXPECT_TRUE(slots.would_help(machine(1), kUnix));
}

TEST(ClientSlots, ThePlaceOfAnotherMachineDoesNotHelpOneThatHasItsShare) {
  ClientSlots slots(8, true);
  fill(slots, machine(1));
  fill(slots, machine(2));
  ASSERT_EQ(slots.ask(machine(1)), Answer::network_full);
  EXPECT_FALSE(slots.would_help(machine(2), machine(1)));
  EXPECT_TRUE(slots.would_help(machine(1), machine(1)));
  EXPECT_TRUE(slots.would_help(machine(2), machine(3)));
  EXPECT_FALSE(slots.would_help(machine(9), machine(3))) << "it has no place";
}

TEST(ClientOrigin, TellsMachinesApart) {
  EXPECT_EQ(machine(1), machine(1));
  EXPECT_NE(machine(1), machine(2));
  EXPECT_NE(kUnix, machine(0));
}

}  // namespace
}  // namespace uvdo
