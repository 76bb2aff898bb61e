// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/rbd_store.h"

#include <cerrno>
#include <utility>

#include <fmt/core.h>
#include <poll.h>

#include "async/blocking_call.h"
#include "device/rbd_health.h"
#include "device/room_gate.h"

namespace uvdo {
namespace {

// How long nobody has asked for anything before the store itself does.
constexpr std::chrono::seconds kIdle(5);
// How often the cluster is asked how it is.
constexpr std::chrono::seconds kAsked(60);
constexpr std::chrono::seconds kAskedInTrouble(10);

}  // namespace

/// An operation of the loop that waits for answers. It owns itself while the kernel has it, and
/// outlives a store that has forgotten it.
struct RbdStore::Watch : UringLoop::Operation {
  RbdStore* store = nullptr;    // none: nobody is interested any more
  std::shared_ptr<Watch> self;  // while the kernel has it
};

RbdStore::RbdStore(UringLoop* loop, std::string name, RbdPlace place, OpenMode mode)
    : NetworkStore(std::move(name), mode),
      loop_(loop),
      place_(std::move(place)),
      health_([asked = name_, where = place_]() -> Result<RbdHealth> {
        auto module = rbd_module();
        if (!module) return std::move(module).error();
        auto answer = (*module)->health(asked, where);
        if (!answer) return std::move(answer).error();
        return rbd_health_of(*answer);
      }) {}

Result<RbdPlace> RbdStore::place_of(const std::string& name) {
  auto place = RbdPlace::of(name);
  if (place) return std::move(*place);
  return Error(Errc::invalid_argument,
               fmt::format("{} names no image; it is rbd:POOL/IMAGE, and behind it "
                           "?conf=FILE&id=USER&namespace=NAME as need be",
                           name));
}

Result<std::unique_ptr<RbdStore>> RbdStore::open(UringLoop* loop, const std::string& name,
                                                 OpenMode mode) {
  auto place = place_of(name);
  if (!place) return std::move(place).error();
  std::unique_ptr<RbdStore> store(new RbdStore(loop, name, std::move(*place), mode));
  if (auto opened = store->reopen(); !opened) return std::move(opened).error();
  return store;
}

Result<std::size_t> RbdStore::peek(const std::string& name, MutableBytes out) {
  auto place = place_of(name);
  if (!place) return std::move(place).error();
  auto module = rbd_module();
  if (!module) return std::move(module).error();
  RbdStore store(nullptr, name, *place, OpenMode::read_only);
  auto image = (*module)->open(name, *place, RbdAccess::look, {});
  if (!image) return std::move(image).error();
  store.image_ = std::move(*image);
  auto size = store.look_up_size();
  if (!size) return std::move(size).error();
  return store.read_beginning(out);
}

Result<void> RbdStore::take_over(const std::string& name) {
  auto place = place_of(name);
  if (!place) return std::move(place).error();
  auto module = rbd_module();
  if (!module) return std::move(module).error();
  // A server of this machine can be stopped: nothing of it need be lost.
  StoreLock held;
  if (auto locked = held.take(name, OpenMode::read_write); !locked) return locked;
  return (*module)->take_over(name, *place);
}

Result<void> RbdStore::check_is_free(const std::string& name, OpenMode mode) {
  auto place = place_of(name);
  if (!place) return std::move(place).error();
  auto module = rbd_module();
  if (!module) return std::move(module).error();
  StoreLock held;
  const LockPatience none(std::chrono::seconds(0));
  if (auto locked = held.take(name, mode, none); !locked) return locked;
  auto image = (*module)->open(name, *place, RbdAccess::read, held.note());
  if (!image) return std::move(image).error();
  return {};
}

RbdStore::~RbdStore() { forget_watch(); }

Result<void> RbdStore::reopen() {
  auto module = rbd_module();
  if (!module) return std::move(module).error();
  if (auto locked = lock_.take(name_, mode_); !locked) return locked;
  // A server of this machine that has died is not asked for its lock: nobody here has the image.
  auto image = (*module)->open(name_, place_,
                               mode_ == OpenMode::read_only ? RbdAccess::read : RbdAccess::write,
                               lock_.note());
  if (image && mode_ == OpenMode::read_write) {
    if (auto left = lock_.leave_note((*image)->owner()); !left) image = std::move(left).error();
  }
  auto size = image ? (*image)->look_up_size() : image.error().clone();
  if (!size) {
    lock_.give_back();
    return std::move(size).error();
  }
  image_ = std::move(*image);
  size_ = *size;
  hold_ = Hold::ours;
  last_sign_ = Clock::now();
  return {};
}

Result<void> RbdStore::release() {
  forget_watch();
  image_.reset();
  // The image has waited for the store's own read, if there was one.
  under_way_ = 0;
  lock_.give_back();
  size_ = 0;
  return {};
}

Result<std::uint64_t> RbdStore::look_up_size() {
  auto size = image_->look_up_size();
  if (size) size_ = *size;
  return size;
}

Task<Result<void>> RbdStore::extend(std::uint64_t size) {
  if (size_ >= size) co_return Result<void>();
  const auto resize = [this, size]() -> Result<std::uint64_t> {
    auto now = image_->look_up_size();
    if (!now || *now >= size) return now;
    if (auto resized = image_->resize(size); !resized) return std::move(resized).error();
    return size;
  };
  Result<std::uint64_t> now = std::uint64_t{0};
  if (loop_ == nullptr) {
    now = resize();
  } else {
    now = co_await call_blocking(*loop_, Descriptors::shared, resize);
  }
  if (!now) co_return std::move(now).error();
  size_ = *now;
  co_return Result<void>();
}

Result<BackingState> RbdStore::look() const {
  if (hold_ == Hold::shut_out) {
    return Error(Errc::read_only,
                 fmt::format("another server has taken {} over; this one can neither write nor "
                             "read it any more",
                             name_));
  }
  if (image_ == nullptr) return Error(Errc::busy, fmt::format("{} is not open", name_));
  BackingState state;
  state.size = size_;
  if (under_way_ > 0) {
    state.silent_for = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - last_sign_);
  }
  return state;
}

Result<BackingState> RbdStore::last_look() {
  ask_for_a_sign();
  auto state = look();
  if (!state) return state;
  const auto& answer = health_.answer();
  const bool is_full = answer && *answer && !(**answer).room.empty();
  health_.ask(Clock::now(), state->is_silent() || is_full ? kAskedInTrouble : kAsked);
  if (!answer) return state;
  if (!*answer) {
    state->trouble = answer->error().message();
    return state;
  }
  const RbdHealth& health = **answer;
  state->fullness = health.room;
  state->trouble = health.room;
  if (!health.room.empty() && !health.rest.empty()) state->trouble += ", ";
  state->trouble += health.rest;
  return state;
}

// ---- requests

int RbdStore::refusal_of(const Request& request) const {
  if (hold_ == Hold::shut_out) return EIO;
  if (request.changes() && mode_ == OpenMode::read_only) return EROFS;
  return 0;
}

void RbdStore::submit(Request& request) {
  meter_.begin(request.op, request.length);
  int error = refusal_of(request);
  if (error == 0 && request.op != Op::flush) {
    if (under_way_ == 0) last_sign_ = Clock::now();
    error = image_->start(request);
    if (error == 0) {
      ++under_way_;
      if (loop_ != nullptr) return watch();
      while (!request.done) {
        pollfd wanted{image_->event(), POLLIN, 0};
        poll(&wanted, 1, -1);
        collect();
      }
      return;
    }
  }
  end(request, error);
  request.done = true;
}

void RbdStore::collect() {
  for (auto answer = image_->collect(); answer.request != nullptr; answer = image_->collect()) {
    answered(answer);
  }
}

void RbdStore::answered(const RbdImage::Answer& answer) {
  --under_way_;
  last_sign_ = Clock::now();
  Request& request = *answer.request;
  int error = answer.error;
  // Without the lock librbd writes nothing either, and says so by EROFS.
  const bool lost_the_lock = error == EROFS && mode_ == OpenMode::read_write;
  if (error == ESHUTDOWN || lost_the_lock) hold_ = Hold::shut_out;
  if (&request == &sign_.request) return;
  if (hold_ == Hold::shut_out && error != 0) error = EIO;
  end(request, error);
  if (loop_ == nullptr) {
    request.done = true;
  } else {
    loop_->post(request.waiter);
  }
}

void RbdStore::end(Request& request, int error) {
  request.error = error;
  if (error != 0 && error != EOPNOTSUPP) {
    meter_.fail(request.op, is_no_room(error));
    // Of a store that is somebody else's look() tells, once for all requests.
    if (on_failure_ && hold_ == Hold::ours) {
      on_failure_({request.op, request.offset, request.length, error});
    }
  }
  meter_.end();
}

// ---- waiting

/// The read need not succeed: any answer will do.
void RbdStore::ask_for_a_sign() {
  if (image_ == nullptr || loop_ == nullptr || hold_ == Hold::shut_out || under_way_ > 0) return;
  if (Clock::now() - last_sign_ < kIdle) return;
  sign_.slice = {sign_.block.data(), sign_.block.size()};
  sign_.request = Request{};
  sign_.request.op = Op::read;
  sign_.request.length = sign_.block.size();
  sign_.request.slices = {&sign_.slice, 1};
  last_sign_ = Clock::now();
  if (image_->start(sign_.request) != 0) return;
  ++under_way_;
  watch();
}

void RbdStore::watch() {
  if (!watch_) {
    watch_ = std::make_shared<Watch>();
    watch_->store = this;
    watch_->complete = [](UringLoop::Operation& operation) {
      auto& done = static_cast<Watch&>(operation);
      const auto owner = std::exchange(done.self, nullptr);
      if (done.store == nullptr) return;
      done.store->collect();
      if (done.store->under_way_ > 0) done.store->watch();
    };
  }
  if (watch_->self) return;
  watch_->self = watch_;
  loop_->submit(
      *watch_, [this](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, image_->event(), POLLIN); });
}

void RbdStore::forget_watch() {
  if (!watch_) return;
  watch_->store = nullptr;
  if (watch_->self) loop_->cancel(*watch_);
  watch_.reset();
}

}  // namespace uvdo
