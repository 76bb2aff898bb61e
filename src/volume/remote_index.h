// SPDX-License-Identifier: GPL-2.0-or-later
// The index of a volume in the work thread. Lookups are copied, go there and come back; what is to
// be noted is sent there in batches. The index's I/O is done at home, on the volume's device.
//
// Few names are looked up and noted at home when the thread sleeps and holds nothing of ours: that
// takes a microsecond, and to wake a thread takes fifty.
//
// Nobody waits for the work thread more than a bounded time: a lookup that takes too long is given
// up, and its answer dropped when it comes; notes are dropped when too many are under way.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "async/work_thread.h"
#include "device/remote_device.h"
#include "index/uds_index.h"

namespace uvdo {

/// What belongs to which thread stands at each member. Between the threads pass coroutines
/// (WorkThread:: enter() and leave()), and figures by atomics; nothing else is shared.
class RemoteIndex final : public DedupeIndex {
 public:
  /// As UdsIndex::start(), with the index in `work`. All calls, and those of `log`, are made in the
  /// home thread, whose executor is `home`.
  static Result<std::unique_ptr<RemoteIndex>> start(WorkThread& work, Executor& home,
                                                    Device& device, const UdsParameters& parameters,
                                                    LogFunction log);
  ~RemoteIndex() override;

  [[nodiscard]] IndexState state() const override;
  [[nodiscard]] IndexStatistics statistics() const override;
  [[nodiscard]] std::uint64_t timeouts() const override { return timeouts_; }
  [[nodiscard]] std::uint64_t records_under_way() const override { return notes_under_way_; }
  [[nodiscard]] std::uint64_t dropped_records() const override;
  [[nodiscard]] std::uint64_t memory_needed() const override;
  void set_enabled(bool enabled) override { enabled_ = enabled; }
  Task<void> lookup(std::span<IndexQuery> queries) override;
  void record(const IndexQuery& query, const IndexData& data) override;
  Task<Result<void>> save() override;
  Task<Result<void>> checkpoint() override;
  Result<void> reopen() override;
  Task<Result<void>> create_anew() override;

 private:
  /// The names of one call of lookup() on their way.
  struct Asked {
    std::vector<IndexQuery> queries;
    IndexQuery* answers = nullptr;  ///< where they are wanted; nowhere if that was given up
    std::coroutine_handle<> waiter{};
    TimePoint asked_at{};
    bool is_here = false;  ///< looked up at home, the thread held asleep
  };
  /// Copies of what record() was given.
  struct Notes {
    std::vector<IndexQuery> queries;
    std::vector<IndexData> data;
    std::vector<IndexNote> notes;  // room for record_all()
  };
  static constexpr std::size_t kFigures = 9;

  RemoteIndex(WorkThread& work, Executor& home, Device& device, Duration lookup_timeout,
              LogFunction log);

  // In the work thread.
  void publish();
  Task<void> watch_opening();
  Task<void> say_at_home(LogLine line);

  // At home.
  void add_asked();
  static Notes make_notes();
  Asked& take_asked(std::span<IndexQuery> queries);
  Task<void> ask(Asked& asked);
  UringLoop::Hold hold_for(std::size_t names);
  void note_all(Notes& notes);
  void forget(Notes& notes);
  Task<void> watch_lookups();
  void answer(Asked& asked);
  void give_up(Asked& asked);
  Task<void> send_at_turn_end();
  void send_notes();
  Task<void> send(Notes notes);

  WorkThread& work_;
  Executor& home_;
  RemoteDevice device_;
  Duration lookup_timeout_;
  LogFunction log_;
  std::uint64_t memory_needed_ = 0;
  std::unique_ptr<UdsIndex> index_;  // the work thread's
  TaskGroup watchers_;               // in the work thread

  bool enabled_ = true;
  TaskGroup messages_;  // at home
  std::vector<std::unique_ptr<Asked>> asked_;
  std::vector<Asked*> spare_asked_;
  std::size_t away_ = 0;     // lookups and travelling notes that are not back yet
  std::size_t waiting_ = 0;  // lookups that somebody waits for
  bool is_watching_ = false;
  bool is_saving_ = false;
  Alarm watch_alarm_;
  Notes notes_;  // of this turn
  std::vector<Notes> spare_notes_;
  std::size_t notes_under_way_ = 0;
  bool sends_at_turn_end_ = false;
  std::uint64_t timeouts_ = 0;
  std::uint64_t dropped_here_ = 0;  ///< names that were one too many under way

  // What is known at home of the index.
  std::atomic<IndexState> state_{IndexState::opening};
  std::array<std::atomic<std::uint64_t>, kFigures> figures_{};
};

}  // namespace uvdo
