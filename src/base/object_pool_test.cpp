// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/object_pool.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

struct Counted {
  explicit Counted(int& count) : alive(count) { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
  int& alive;
  int value = 0;
};

TEST(ObjectPool, GivesWhatWasGivenBackAndMoreThanItWasMadeFor) {
  int alive = 0;
  {
    ObjectPool<Counted> pool(2);
    EXPECT_EQ(alive, 0);
    Counted& first = pool.take(alive);
    first.value = 7;
    pool.give(first);
    Counted& again = pool.take(alive);
    EXPECT_EQ(&again, &first);
    EXPECT_EQ(again.value, 7);
    Counted& second = pool.take(alive);
    Counted& third = pool.take(alive);
    EXPECT_NE(&second, &third);
    EXPECT_EQ(alive, 3);
    pool.give(third);
    EXPECT_EQ(&pool.take(alive), &third);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace uvdo
