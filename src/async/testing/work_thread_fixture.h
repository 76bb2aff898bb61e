// SPDX-License-Identifier: GPL-2.0-or-later
// What tests of things in two threads begin with.
#pragma once

#include <memory>

#include <gtest/gtest.h>

#include "async/work_thread.h"

namespace uvdo::test {

/// A loop of the test's own thread, and a work thread beside it.
class WorkThreadFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
    auto work = WorkThread::start(*loop_);
    ASSERT_TRUE(work.ok()) << work.error().message();
    work_ = std::move(*work);
  }
  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<WorkThread> work_;
};

}  // namespace uvdo::test
