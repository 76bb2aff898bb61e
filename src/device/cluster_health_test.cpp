// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/cluster_health.h"

#include <semaphore>
#include <thread>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

using namespace std::chrono_literals;

/// A cluster that answers as often as it is allowed to.
struct Cluster {
  std::counting_semaphore<8> allowed{0};
  std::atomic<int> asked = 0;
};

struct ClusterHealthTest : testing::Test {
  const std::shared_ptr<Cluster> cluster = std::make_shared<Cluster>();
  ClusterHealth health{[asked = cluster]() -> Result<RbdHealth> {
    const int number = ++asked->asked;
    asked->allowed.acquire();
    return RbdHealth{"full " + std::to_string(number), ""};
  }};
  ClusterHealth::Clock::time_point now{};

  std::string wait_for_another(const std::string& than) {
    for (int i = 0; i < 2000; ++i) {
      const auto& answer = health.answer();
      if (answer && *answer && (**answer).room != than) return (**answer).room;
      std::this_thread::sleep_for(1ms);
    }
    return than;
  }
};

TEST_F(ClusterHealthTest, WhoAsksDoesNotWait) {
  EXPECT_FALSE(health.answer());
  health.ask(now, 60s);
  EXPECT_FALSE(health.answer());
  cluster->allowed.release();
  EXPECT_EQ(wait_for_another(""), "full 1");
}

TEST_F(ClusterHealthTest, IsAskedAnewWhenItIsTimeAndItHasAnswered) {
  health.ask(now, 60s);
  health.ask(now + 61s, 60s);  // the first question is still under way
  cluster->allowed.release();
  EXPECT_EQ(wait_for_another(""), "full 1");
  health.ask(now + 59s, 60s);
  EXPECT_EQ(cluster->asked, 1);
  health.ask(now + 60s, 60s);
  cluster->allowed.release();
  EXPECT_EQ(wait_for_another("full 1"), "full 2");
}

TEST_F(ClusterHealthTest, IsGoneBeforeItsAnswer) {
  {
    ClusterHealth other([asked = cluster]() -> Result<RbdHealth> {
      ++asked->asked;
      asked->allowed.acquire();
      return RbdHealth{};
    });
    other.ask(now, 60s);
  }
  cluster->allowed.release();
}

}  // namespace
}  // namespace uvdo
