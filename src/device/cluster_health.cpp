// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/cluster_health.h"

#include <mutex>
#include <utility>

#include "base/detached_thread.h"

namespace uvdo {

/// The thread owns it too.
struct ClusterHealth::Shared {
  explicit Shared(Question asked) : question(std::move(asked)) {}

  const Question question;
  std::mutex mutex;  // protects what follows
  bool is_under_way = false;
  std::optional<Result<RbdHealth>> found;
};

ClusterHealth::ClusterHealth(Question question)
    : shared_(std::make_shared<Shared>(std::move(question))) {}

void ClusterHealth::ask(Clock::time_point now, std::chrono::seconds interval) {
  if (asked_ && now - *asked_ < interval) return;
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->is_under_way) return;
    shared_->is_under_way = true;
  }
  asked_ = now;
  auto started = start_detached_thread("uvdo-health", [shared = shared_] {
    auto found = shared->question();
    const std::lock_guard lock(shared->mutex);
    shared->found = std::move(found);
    shared->is_under_way = false;
  });
  if (started) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->is_under_way = false;
}

const std::optional<Result<RbdHealth>>& ClusterHealth::answer() {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->found) answer_ = std::exchange(shared_->found, std::nullopt);
  return answer_;
}

}  // namespace uvdo
