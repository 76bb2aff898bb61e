// SPDX-License-Identifier: GPL-2.0-or-later
// Watches the file or disk beneath a served volume: says in the log what fails, and notices when
// the file is cut off, removed or replaced.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "async/executor.h"
#include "base/log.h"
#include "device/backing_store.h"
#include "net/log_throttle.h"
#include "watch/health.h"

namespace uvdo {

/// On the volume's thread. Each thing is told once when it begins, and once more when it is over
/// where that can be; failures of requests are bounded by a throttle.
class DiskWatch {
 public:
  /// `device` must outlive this.
  DiskWatch(Executor& executor, BackingStore& device, LogFunction log);
  DiskWatch(const DiskWatch&) = delete;
  DiskWatch& operator=(const DiskWatch&) = delete;
  ~DiskWatch() { device_.on_failure({}); }

  /// Looks at the file, as is to be done every second; the volume on it ends at byte `end`.
  /// corrupt, once: it has been cut off, so that nothing of it can be relied on any more.
  /// read_only, once: another server has taken it over.
  Result<void> look(std::uint64_t end);
  /// Whether it may be said that what was written is saved: an error tells where it is else.
  [[nodiscard]] Result<void> is_saved() const;
  /// As of the last look(); nothing while the device has been let go of.
  [[nodiscard]] const std::optional<BackingState>& backing() const { return backing_; }
  /// Adds what is known of the file or disk.
  void add_to(HealthFacts& facts) const;

 private:
  /// The device calls this for each request that fails.
  void failed(const BackingStore::Failure& failure);
  void tell_of_silence(const BackingState& state);
  void tell_of_fullness(const BackingState& state);
  void tell_of_name(const BackingState& state);
  /// Says how many failures were left out, when the while of the throttle is over.
  void tell_of_dropped();

  Executor& executor_;
  BackingStore& device_;
  LogFunction log_;
  std::optional<BackingState> backing_;
  std::uint64_t end_of_volume_ = 0;
  bool was_cut_off_ = false;
  BackingState::Named told_name_ = BackingState::Named::itself;
  // What has been told already, so that a look each second tells it once.
  bool told_silence_ = false;
  std::string told_fullness_;
  bool told_removed_ = false;
  bool told_promise_ = false;
  // The last one that was logged, for status; "" if there was none.
  std::string last_error_;
  static constexpr unsigned kFailuresTold = 5;  // one by one, in a while
  LogThrottle throttle_{kFailuresTold};
};

}  // namespace uvdo
