// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/patient_requests.h"

namespace uvdo {
namespace {

/// co_await: the end of a task that has been started and whose starter has gone.
struct EndOf {
  Task<Result<void>>::Handle handle;
  [[nodiscard]] bool await_ready() const { return handle.done(); }
  void await_suspend(std::coroutine_handle<> waiter) const {
    handle.promise().continuation = waiter;
  }
  static void await_resume() {}
};

/// Keeps what is left of a request until its end.
Task<void> let_end(Task<Result<void>> work, Task<Result<void>>::Handle handle) {
  co_await EndOf{handle};
  static_cast<void>(work);
}

}  // namespace

Error Refusal::error() {
  return {Errc::no_space, "there is no room beneath the volume; make some, and writes go on"};
}

void PatientRequests::refuse(TimePoint limit) {
  for (PatientRequest* request = first_; request != nullptr;) {
    PatientRequest& old = *request;
    request = request->next_;
    if (old.since_ <= limit) old.refuse();
  }
}

std::coroutine_handle<> PatientRequest::start(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  previous_ = all_.last_;
  (previous_ == nullptr ? all_.first_ : previous_->next_) = this;
  all_.last_ = this;
  // The work resumes the waiter when it ends, unless refuse() has put another in its place.
  const auto started = std::move(*work_).operator co_await();
  handle_ = started.handle;
  return started.await_suspend(waiter);
}

void PatientRequest::unlink() {
  (previous_ == nullptr ? all_.first_ : previous_->next_) = next_;
  (next_ == nullptr ? all_.last_ : next_->previous_) = previous_;
}

Result<void> PatientRequest::take_result() {
  if (is_refused_) return Refusal::error();
  unlink();
  return handle_.promise().take();
}

void PatientRequest::refuse() {
  unlink();
  is_refused_ = true;
  // From here on the work learns that it is refused; the request's frame may end.
  if (refusal_ != nullptr) refusal_->request_ = nullptr;
  refusal_ = nullptr;
  // The work goes on in nobody's name; its result is not wanted.
  spawn(let_end(std::move(*work_), handle_));
  all_.executor_.post(waiter_);
}

}  // namespace uvdo
