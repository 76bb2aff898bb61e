// SPDX-License-Identifier: GPL-2.0-or-later
// Requests of clients that must not wait for ever where the volume waits for room beneath it: each
// can be answered before it has ended. What is left of it learns of that, and changes nothing any
// more; it only ends.
//
//   PatientRequest request(patient_requests_);
//   co_return co_await request.answer(carry_out(request, ...));
//
// and in carry_out(), which outlives the request if that is answered before:
//
//   const Refusal refusal(request);
//   ...
//   if (refusal.is_given()) co_return refusal.error();
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "async/executor.h"
#include "async/task.h"
#include "base/result.h"

namespace uvdo {

class PatientRequest;
class Refusal;

/// Those under way, the oldest first.
class PatientRequests {
 public:
  explicit PatientRequests(Executor& executor) : executor_(executor) {}
  PatientRequests(const PatientRequests&) = delete;
  PatientRequests& operator=(const PatientRequests&) = delete;
  ~PatientRequests() { check(first_ == nullptr, "requests outlive their volume"); }

  /// Answers those that began before `limit` with Refusal::error().
  void refuse(TimePoint limit);

 private:
  friend class PatientRequest;
  Executor& executor_;
  PatientRequest* first_ = nullptr;
  PatientRequest* last_ = nullptr;
};

/// A link in the list of those under way. Its frame ends with the answer; the work, if it was not
/// done by then, ends in a frame of its own.
class PatientRequest {
 public:
  /// `since`: when it began, as refuse() is to see it.
  explicit PatientRequest(PatientRequests& all, TimePoint since = TimePoint::min())
      : all_(all), since_(since) {}
  PatientRequest(const PatientRequest&) = delete;
  PatientRequest& operator=(const PatientRequest&) = delete;

  /// Whether it was answered with the refusal.
  [[nodiscard]] bool is_refused() const { return is_refused_; }
  /// co_await: the result of `work`, which is started now, or the refusal, whatever comes first.
  auto answer(Task<Result<void>> work) {
    work_.emplace(std::move(work));
    return Awaiter{*this};
  }

 private:
  friend class PatientRequests;
  friend class Refusal;
  using Work = Task<Result<void>>;
  struct Awaiter {
    PatientRequest& request;
    static bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) const {
      return request.start(waiter);
    }
    [[nodiscard]] Result<void> await_resume() const { return request.take_result(); }
  };
  std::coroutine_handle<> start(std::coroutine_handle<> waiter);
  Result<void> take_result();
  void unlink();
  void refuse();

  PatientRequests& all_;
  TimePoint since_;
  std::optional<Work> work_;
  Work::Handle handle_{};
  std::coroutine_handle<> waiter_{};
  Refusal* refusal_ = nullptr;
  bool is_refused_ = false;
  PatientRequest* previous_ = nullptr;
  PatientRequest* next_ = nullptr;
};

/// Whether the request that is being carried out has been answered already; lives in the frame of
/// what carries it out.
class Refusal {
 public:
  explicit Refusal(PatientRequest& request) : request_(&request) { request.refusal_ = this; }
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;
  ~Refusal() {
    if (request_ != nullptr) request_->refusal_ = nullptr;
  }
  [[nodiscard]] bool is_given() const { return request_ == nullptr; }
  static Error error();

 private:
  friend class PatientRequest;
  PatientRequest* request_;  // nullptr from the refusal on
};

}  // namespace uvdo
