// SPDX-License-Identifier: GPL-2.0-or-later
// The index of a volume in the work thread: lookups go there and come back, what is to be noted is
// sent there in batches. Its I/O is done at home, on the volume's device.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "async/work_thread.h"
#include "device/remote_device.h"
#include "index/uds_index.h"

namespace uvdo {

class RemoteIndex final : public DedupeIndex {
 public:
  /// As UdsIndex::start(), with the index in `work`. All calls, and those of `log`, are made in the
  /// home thread, whose executor is `home`.
  static Result<std::unique_ptr<RemoteIndex>> start(WorkThread& work, Executor& home,
                                                    Device& device, const UdsParameters& parameters,
                                                    IndexLog log);
  ~RemoteIndex() override;

  [[nodiscard]] IndexState state() const override { return snapshot().state; }
  [[nodiscard]] IndexStatistics statistics() const override { return snapshot().statistics; }
  [[nodiscard]] std::uint64_t timeouts() const override { return snapshot().timeouts; }
  [[nodiscard]] std::uint64_t memory_needed() const override { return memory_needed_; }
  void set_enabled(bool enabled) override;
  Task<void> lookup(std::span<IndexQuery> queries) override;
  void record(const IndexQuery& query, const IndexData& data) override;
  Task<Result<void>> checkpoint() override;
  Task<Result<void>> save() override;
  Result<void> reopen() override;
  Task<Result<void>> create_anew() override;

 private:
  /// What is known at home of the index.
  struct Snapshot {
    IndexState state = IndexState::opening;
    IndexStatistics statistics;
    std::uint64_t timeouts = 0;
  };
  /// Copies of what record() was given.
  struct Notes {
    std::vector<IndexQuery> queries;
    std::vector<IndexData> data;
    std::vector<IndexNote> notes;  // room for record_all()
  };
  RemoteIndex(WorkThread& work, Executor& home, Device& device, IndexLog log);

  [[nodiscard]] Snapshot snapshot() const;
  // In the work thread.
  void publish();
  Task<void> watch_opening();
  Task<void> say_at_home(std::string line);

  // At home.
  Task<void> send_at_turn_end();
  void send_notes();
  Task<void> send(Notes notes);
  Task<void> switch_index(bool enabled);

  WorkThread& work_;
  Executor& home_;
  RemoteDevice device_;
  IndexLog log_;
  std::uint64_t memory_needed_ = 0;
  std::unique_ptr<UdsIndex> index_;  // the work thread's
  TaskGroup watchers_;               // in the work thread
  TaskGroup messages_;               // at home
  Notes notes_;                      // of this turn
  std::vector<Notes> spare_;
  bool sends_at_turn_end_ = false;

  mutable std::mutex snapshot_mutex_;
  Snapshot snapshot_;
};

}  // namespace uvdo
