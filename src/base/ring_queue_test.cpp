// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/ring_queue.h"

#include <deque>
#include <memory>
#include <random>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(RingQueue, DoesWhatADequeDoes) {
  std::mt19937 random(1);
  RingQueue<int> queue;
  std::deque<int> model;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 100 < (i / 2000 % 2 == 0 ? 60U : 40U)) {
      queue.push_back(i);
      model.push_back(i);
    } else if (!model.empty()) {
      queue.pop_front();
      model.pop_front();
    }
    ASSERT_EQ(queue.size(), model.size());
    ASSERT_EQ(queue.empty(), model.empty());
    if (model.empty()) continue;
    const std::size_t at = random() % model.size();
    ASSERT_EQ(queue[at], model[at]);
    ASSERT_EQ(queue.front(), model.front());
    ASSERT_EQ(queue.back(), model.back());
  }
}

TEST(RingQueue, LetsGoOfWhatLeavesIt) {
  RingQueue<std::shared_ptr<int>> queue;
  auto value = std::make_shared<int>(1);
  queue.push_back(value);
  queue.pop_front();
  EXPECT_EQ(value.use_count(), 1);
}

}  // namespace
}  // namespace uvdo
