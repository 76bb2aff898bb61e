// SPDX-License-Identifier: GPL-2.0-or-later
// Has the lease of a volume (lease/lease.h): claims it, and renews it in a thread until it is given
// back.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "lease/lease.h"
#include "lease/record_storage.h"

namespace uvdo {

/// Where the record of a volume is.
struct RecordPlace {
  std::string store;         ///< what people call it
  std::uint64_t nonce = 0;   ///< the volume's
  std::uint64_t offset = 0;  ///< byte of the store
};

/// The record, and where it was found: a volume that has grown leaves word of that. Nothing: there
/// is none.
struct FoundRecord {
  OwnerRecord record;
  std::uint64_t offset = 0;
};
Result<std::optional<FoundRecord>> find_owner_record(RecordStorage& storage,
                                                     const RecordPlace& place);

/// This process, with a new identity.
[[nodiscard]] OwnerRecord owner_here();

class LeaseKeeper {
 public:
  /// Waits for the owner before to give no sign of life, if there is one; `tell` is called with a
  /// sentence then. busy: somebody has the volume; not_found: it has no record.
  static Result<std::unique_ptr<LeaseKeeper>> claim(
      std::unique_ptr<RecordStorage> storage, RecordPlace place, const Claimant& claimant,
      const std::function<void(const std::string&)>& tell);
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;
  /// Gives the lease back, if it has it.
  ~LeaseKeeper();

  /// Whether requests may be made now. Of any thread; cheap.
  [[nodiscard]] bool holds() const;
  /// Why not, once it does not.
  [[nodiscard]] std::string why_lost() const;
  /// Goes on with a record at `offset`, which is written first, and leaves word of that in its
  /// place. Waits for the storage. An error: the record is where it was, or the lease is lost.
  Result<void> move(std::uint64_t offset);

 private:
  LeaseKeeper(std::unique_ptr<RecordStorage> storage, RecordPlace place, Lease lease);
  Result<void> carry_out(const Lease::Step& step);
  Result<void> acquire(const std::function<void(const std::string&)>& tell);
  Result<void> write(const OwnerRecord& record, std::uint64_t offset);
  [[nodiscard]] Error refusal() const;
  void publish();
  [[nodiscard]] std::string loss() const;
  void keep();

  std::unique_ptr<RecordStorage> storage_;
  RecordPlace place_;
  std::mutex mutex_;  // of what follows, also while a request is under way
  std::condition_variable changed_;
  bool is_ending_ = false;
  Lease lease_;
  std::string last_failure_;
  mutable std::mutex why_mutex_;
  std::string why_lost_;
  std::atomic<Lease::Time::rep> valid_until_{0};
  std::thread thread_;
};

/// Waits and looks whether somebody renews `found`. busy: that is so.
Result<void> check_is_not_renewed(RecordStorage& storage, const RecordPlace& place,
                                  const FoundRecord& found);

}  // namespace uvdo
