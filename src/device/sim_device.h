// SPDX-License-Identifier: GPL-2.0-or-later
// A simulated disk with a volatile write cache, virtual latency and faults on demand.
//
// What it promises is what a real disk promises, and no more:
//  - a sector (512 bytes) is written whole or not at all; a larger write can be torn;
//  - a write that completed is seen by reads, but survives a power cut only if a flush that was
//    submitted after its completion has succeeded, or if it was a FUA write;
//  - of everything else any subset of sectors may survive, older ones without newer ones;
//  - a write that failed may have been done in part, and after a flush that failed nobody knows
//    what became of the writes that it should have covered;
//  - write_zeroes is a write of zeros to each of its blocks; a discard leaves some as they are,
//    and is a write of zeros, or of what nobody has written, to each of the others.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/sim_executor.h"
#include "device/private_store.h"
#include "device/sparse_image.h"

namespace uvdo {

/// The bytes of a write, shared by all who remember it.
using SimPayload = std::shared_ptr<const std::vector<std::byte>>;

/// How long requests take, and what is demanded of who sends them.
struct SimDeviceOptions {
  /// Most requests take a time between these two.
  Duration shortest{4'000};
  Duration longest{60'000};
  /// One request in so many takes up to `slowest` instead; 0 is never.
  std::uint64_t slow_one_in = 200;
  Duration slowest{20'000'000};
  /// One request in so many completes inside submit(), as a device in memory does; 0 is never.
  std::uint64_t instant_one_in = 50;
  /// Offsets, lengths and addresses of buffers must be multiples of this (direct I/O); others are
  /// reported as misuse and fail with EINVAL.
  std::uint64_t alignment = 4096;
  /// Whether it can discard and write_zeroes; else they fail with EOPNOTSUPP.
  bool can_zero = true;
};

/// Something that goes wrong on purpose.
struct SimFault {
  enum class Kind : std::uint8_t {
    error,  ///< the request fails with `error`
    hang,   ///< no answer until release_hung() or crash()
    slow,   ///< the answer takes `delay` longer
    full,   ///< a write finds no room and fails with ENOSPC; that is no fault of the disk
  };
  Kind kind = Kind::error;
  bool reads = true;
  bool writes = true;
  bool flushes = true;               ///< `writes`: discards and write_zeroes too
  std::uint64_t begin = 0;           ///< only requests that touch [begin, end); flushes always do
  std::uint64_t end = UINT64_MAX;    ///< bytes
  std::uint64_t skip = 0;            ///< so many matching requests go well first
  std::uint64_t count = UINT64_MAX;  ///< so many are then hit; afterwards all is well again
  int error = 5;                     ///< errno; EIO
  bool only_new = false;             ///< `full`: only writes to places never written before
  Duration delay{};
};

/// What survives a power cut of what was not yet durable.
enum class SimCrashStyle : std::uint8_t {
  any,          ///< one of the others, by the seed
  drop_all,     ///< nothing
  keep_all,     ///< everything, also what was in flight
  prefix,       ///< in order of completion up to some point
  suffix,       ///< the newest without the oldest
  subset,       ///< each write as a whole or not at all
  one_lost,     ///< all but one
  one_kept,     ///< only one
  torn_fixed,   ///< a subset, torn: the same sectors of each 4 KiB block are lost or kept
  torn_random,  ///< a subset, torn anywhere
  death,        ///< no power cut: see die()
};
inline constexpr std::size_t kSimCrashStyles = 10;

/// One step of a recorded history of a device.
struct SimEvent {
  enum class Kind : std::uint8_t {
    write_submitted,
    write_completed,
    flush_submitted,
    flush_completed
  };
  Kind kind{};
  bool fua = false;
  std::uint64_t number = 0;  ///< names the request; the same at submission and completion
  std::uint64_t offset = 0;
  SimPayload payload;  ///< of a write, at submission
};

/// All that happened to a device since recording started.
struct SimRecording {
  SparseImage start;
  std::vector<SimEvent> events;
};

class SimDevice final : public PrivateStore {
 public:
  /// With zeros, or with a content, which is durable.
  SimDevice(SimExecutor& executor, std::uint64_t size, SimDeviceOptions options = {});
  SimDevice(SimExecutor& executor, SparseImage content, SimDeviceOptions options = {});
  ~SimDevice() override;

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return current_.size(); }
  [[nodiscard]] const std::string& name() const override { return name_; }

  // Power cuts.

  /// Cuts the power now: requests under way and all later ones fail with EIO, so that who uses the
  /// device unwinds. What survives is decided here.
  void crash(SimCrashStyle style = SimCrashStyle::any);
  /// Cuts the power instead of starting the request after the next `requests` ones. UINT64_MAX
  /// cancels.
  void crash_after(std::uint64_t requests, SimCrashStyle style = SimCrashStyle::any);
  /// Cuts the power `requests` requests behind a write that touches [begin, end), after `skip` of
  /// those writes: at a moment when a structure has just changed.
  void crash_near(std::uint64_t begin, std::uint64_t end, std::uint64_t skip,
                  std::uint64_t requests);
  [[nodiscard]] bool has_crashed() const { return crashed_; }
  /// The process that uses it dies now, and the disk lives on: what has completed is there after
  /// restart(), in the cache still if it was; of each block of a write under way it is open whether
  /// it is there. Requests fail until then as after a power cut. crash(SimCrashStyle::death), too.
  void die();
  /// Whether the last crash was that.
  [[nodiscard]] bool has_died() const { return died_; }
  /// Called at the very moment of a power cut; what happens later happens to a dead machine.
  void set_on_crash(std::function<void()> function) { on_crash_ = std::move(function); }
  /// Power is back: the device holds what survived. Faults are gone, nothing is in flight.
  void restart();

  // Faults.

  /// From the next request on, beside those that there are already.
  void add_fault(const SimFault& fault) { faults_.push_back({fault, 0}); }
  void clear_faults() { faults_.clear(); }
  /// Whether any fault has hit since the last clear_faulted().
  [[nodiscard]] bool has_faulted() const { return faulted_; }
  void clear_faulted() { faulted_ = false; }
  /// Writes that have found no room.
  [[nodiscard]] std::uint64_t found_full() const { return found_full_; }
  /// Lets the requests that hang fail with `error`, or go on if that is 0.
  void release_hung(int error);
  /// Deliberate lies, to prove that the tests see them: flushes succeed and do nothing.
  void lie_about_flushes(bool lie) { flushes_lie_ = lie; }

  // Content.

  /// What reads see now.
  [[nodiscard]] const SparseImage& content() const { return current_; }
  /// What a power cut cannot take away.
  [[nodiscard]] SparseImage durable() const;
  /// Takes a content over; nothing may be in flight.
  void set_content(SparseImage content);

  // Recording.

  /// Records from here on. Everything must be durable and nothing in flight.
  void start_recording();
  /// Needs start_recording().
  [[nodiscard]] const SimRecording& recording() const { return *recording_; }
  [[nodiscard]] std::size_t recorded_events() const {
    return recording_ ? recording_->events.size() : 0;
  }

  // What was seen.

  /// Requests started so far, by kind.
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::uint64_t count_of(Op op) const {
    return counts_[static_cast<std::size_t>(op)];
  }
  /// Requests that have no answer yet, those that hang among them.
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  /// The first thing that a user of the device must not do and did: a buffer that changed while it
  /// was being written, two writes to one place at the same time, a misaligned request. Empty if
  /// all was well.
  [[nodiscard]] const std::string& misuse() const { return misuse_; }

 private:
  /// A write in the volatile cache, in order of completion.
  struct CachedWrite {
    std::uint64_t offset = 0;
    SimPayload payload;
    bool fua = false;           // durable in any case
    bool uncertain = false;     // a flush that should have covered it failed
    std::vector<bool> sectors;  // those that were done; empty is all
  };
  /// A request that has no answer yet, in a slot of its own.
  struct Flight {
    Request* request = nullptr;
    std::uint64_t number = 0;  // 0 is free
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    SimPayload payload;
    Op op{};
    bool fua = false;
    bool hung = false;
    int error = 0;
    std::uint64_t barrier = 0;  // of a flush: completions that it covers
  };
  /// A fault, and how many requests it could have hit so far.
  struct ActiveFault {
    SimFault fault;
    std::uint64_t seen = 0;
  };

  [[nodiscard]] bool is_misused(const Request& request, std::uint64_t length);
  /// The first report counts.
  void report_misuse(std::string what);
  /// What the faults do to a request: to its error, its latency, or that it hangs.
  void apply_faults(Flight& flight, Duration& latency);
  /// A free slot.
  [[nodiscard]] std::size_t take_flight();
  static void complete_callback(void* context, std::uint64_t argument);
  /// Has the request of a slot answered after `latency`.
  void schedule(std::size_t slot, Duration latency);
  /// Does what the request asks for; its error is then in the request.
  void perform(Flight& flight);
  void perform_write(Flight& flight);
  void perform_zeroing(const Flight& flight);
  /// Calls f(number, offset, payload) for each block that a discard or write_zeroes changes.
  template <class F>
  static void for_each_zeroed(const Flight& flight, F&& f);
  void perform_flush(Flight& flight);
  /// What the device holds now.
  void read_into(const Request& request) const;
  /// What it held when the read was submitted.
  void copy_out(const Flight& flight) const;
  void record(SimEvent::Kind kind, const Flight& flight);
  void record(SimEvent event);
  void destage(SparseImage& image, const CachedWrite& write) const;
  /// What the device holds after a power cut now.
  [[nodiscard]] SparseImage survivors(SimCrashStyle style);
  void land_some_under_way();
  void fail_all_under_way();
  std::vector<CachedWrite> writes_at_risk() const;
  std::vector<bool> torn_sectors(std::size_t sectors, std::uint8_t pattern, bool random);
  void trace_request(const char* what, const Flight& flight) const;

  SimExecutor& executor_;
  SimDeviceOptions options_;
  SimRandom random_;
  std::string name_ = "simulated disk";
  SparseImage current_;
  SparseImage durable_;  // without what is still in cache_
  std::deque<CachedWrite> cache_;
  std::uint64_t completed_ = 0;  // writes that have entered the cache since the start
  std::vector<Flight> flights_;
  std::vector<std::size_t> free_flights_;
  std::size_t in_flight_ = 0;
  std::uint64_t next_number_ = 1;
  std::uint64_t requests_ = 0;
  std::array<std::uint64_t, kOps> counts_{};
  std::vector<ActiveFault> faults_;
  bool faulted_ = false;
  std::uint64_t found_full_ = 0;
  bool flushes_lie_ = false;
  bool crashed_ = false;
  bool died_ = false;
  std::uint64_t crash_at_request_ = UINT64_MAX;
  SimCrashStyle crash_style_ = SimCrashStyle::any;
  struct CrashNear {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;  // 0: not armed
    std::uint64_t skip = 0;
    std::uint64_t requests = 0;
  };
  CrashNear crash_near_;
  std::function<void()> on_crash_;
  std::optional<SparseImage> survived_;
  std::unique_ptr<SimRecording> recording_;
  std::string misuse_;
};

}  // namespace uvdo
