// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_requests.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "block/request_pieces.h"

namespace uvdo {
namespace {

// Work, in units of Executor::spend(): for a request, and to copy this many bytes.
constexpr std::uint64_t kUnitsPerRequest = 50;
constexpr std::uint64_t kBytesPerUnit = 64;

bool server_copies(const ublk::DeviceInfo& device) { return (device.flags & ublk::kUserCopy) != 0; }

std::size_t slots_of(const ublk::DeviceInfo& device) {
  return std::size_t{device.queues} * device.depth;
}

/// Bytes that the slots have where the driver copies.
std::uint64_t slot_bytes(const ublk::DeviceInfo& device) {
  return server_copies(device) ? 0 : std::uint64_t{slots_of(device)} * device.max_io_bytes;
}

std::uint64_t read_bytes(const ublk::DeviceInfo& device, const UblkRequests::Settings& settings) {
  return server_copies(device) ? settings.read_memory : 0;
}

bool is_long(const UblkRequest& request) {
  switch (request.kind) {
    case UblkRequest::Kind::discard:
    case UblkRequest::Kind::write_zeroes: return request.length > kLongRange;
    case UblkRequest::Kind::read:
    case UblkRequest::Kind::write:
    case UblkRequest::Kind::flush: break;
  }
  return false;
}

Error refusal_of_a_stop() { return {Errc::cancelled, "the device is being detached"}; }

}  // namespace

UblkRequests::UblkRequests(Executor& executor, BlockService& service, RequestBudget& budget,
                           const ublk::DeviceInfo& device, const Settings& settings)
    : executor_(executor),
      service_(service),
      budget_(budget),
      settings_(settings),
      depth_(device.depth),
      max_io_bytes_(device.max_io_bytes),
      server_copies_(server_copies(device)),
      read_buffers_(executor, read_bytes(device, settings)),
      slot_memory_(slot_bytes(device)),
      slots_(slots_of(device)),
      client_(budget),
      long_requests_(executor, kLongRequests),
      arrived_(executor),
      changed_(executor),
      serving_(executor) {
  waiting_.reserve(slots_.size());
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].place = {static_cast<std::uint16_t>(i / depth_),
                       static_cast<std::uint16_t>(i % depth_)};
  }
}

UblkRequests::~UblkRequests() {
  check(serving_.running() == 0, "requests of a device are ended before they go");
}

std::uint64_t UblkRequests::memory_bound(const ublk::DeviceInfo& device, const Settings& settings) {
  return slot_bytes(device) + read_bytes(device, settings) + slots_of(device) * sizeof(Slot);
}

void UblkRequests::begin(UblkPort& port) {
  port_ = &port;
  serving_.start(serve());
  for (const Slot& slot : slots_) port_->fetch(slot.place, buffer_of(slot.place));
}

void UblkRequests::on_request(UblkSlot place) {
  Slot& slot = slots_[index_of(place)];
  check(slot.state == State::fetching, "a request comes where one was asked for");
  slot.state = State::waiting;
  ++come_;
  waiting_.push_back(place);
  arrived_.wake_all();
}

void UblkRequests::on_retired(UblkSlot place, int result) {
  Slot& slot = slots_[index_of(place)];
  check(slot.state == State::fetching, "a slot is retired that waits for a request");
  slot.state = State::retired;
  ++retired_;
  if (result != ublk::kNoMoreRequests && refusal_ == 0) {
    refusal_ = result;
    if (settings_.log) {
      settings_.log(
          fmt::format("the ublk driver has refused to send requests: {}",
                      errno_error(-result, "queue " + std::to_string(place.queue)).message()));
    }
  }
  changed_.wake_all();
}

std::byte* UblkRequests::buffer_of(UblkSlot place) const {
  if (server_copies_) return nullptr;
  return slot_memory_.data() + index_of(place) * max_io_bytes_;
}

Durability UblkRequests::durability_of(const UblkRequest& request) const {
  return request.fua || settings_.writes_through ? Durability::fua : Durability::cached;
}

/// Takes requests in the order in which they came, each when it has a slot of the budget.
Task<void> UblkRequests::serve() {
  for (;;) {
    while (waiting_.empty() && !is_ending_) co_await arrived_.wait();
    if (has_left_ || waiting_.empty()) co_return;
    co_await executor_.give_way();
    executor_.spend(kUnitsPerRequest);
    Slot& slot = slots_[index_of(waiting_.front())];
    const Result<void> right = look_at(slot);
    const bool takes_long = is_long(slot.request);
    if (takes_long) co_await budget_.acquire_long();
    while (client_.is_at_limit()) co_await client_.one_ended();
    co_await client_.acquire();
    if (has_left_) {
      if (takes_long) budget_.release_long();
      client_.release();
      co_return;
    }
    waiting_.pop_front();
    start(slot, right);
  }
}

Result<void> UblkRequests::look_at(Slot& slot) {
  slot.request = UblkRequest();
  auto request = decode_request(port_->request(slot.place), {service_.size(), max_io_bytes_});
  if (!request) {
    if (settings_.log) settings_.log(request.error().message());
    return std::move(request).error();
  }
  slot.request = *request;
  return {};
}

void UblkRequests::start(Slot& slot, const Result<void>& right) {
  slot.state = State::running;
  slot.failure = 0;
  slot.pieces_left = 1;
  if (!right) {
    finish(slot, right);
  } else if (refuses_) {
    finish(slot, refusal_of_a_stop());
  } else if (slot.request.has_data()) {
    spawn(run_pieces(slot));
  } else {
    spawn(run_other(slot));
  }
}

/// Starts the pieces of a request with data. With the last of them it may be answered, and the slot
/// have another.
Task<void> UblkRequests::run_pieces(Slot& slot) {
  const UblkRequest request = slot.request;
  const auto length = static_cast<std::uint32_t>(request.length);
  slot.pieces_left = piece_count(request.offset, length);
  std::uint32_t at = 0;
  while (at < length) {
    const std::uint32_t piece = piece_length(request.offset + at, length - at);
    co_await executor_.give_way();
    if (request.kind == UblkRequest::Kind::read) {
      spawn(run_read(slot, at, piece));
    } else {
      spawn(run_write(slot, at, piece));
    }
    at += piece;
  }
}

Task<Buffer> UblkRequests::buffer_from(BufferPool& pool, std::size_t size) {
  Buffer buffer = pool.try_acquire(size);
  if (buffer.data() == nullptr) {
    Buffer awaited = co_await pool.acquire(size);
    buffer = std::move(awaited);
  }
  co_return buffer;
}

Task<void> UblkRequests::run_read(Slot& slot, std::uint32_t at, std::uint32_t length) {
  executor_.spend(length / kBytesPerUnit);
  Buffer buffer;
  MutableBytes out;
  if (server_copies_) {
    Buffer taken = co_await buffer_from(read_buffers_, length);
    buffer = std::move(taken);
    out = buffer.bytes();
  } else {
    out = {buffer_of(slot.place) + at, length};
  }
  const RequestTimes::Span span(settings_.times, RequestKind::read, length);
  Result<void> result = co_await service_.read(slot.request.offset + at, out);
  if (result && server_copies_) result = port_->give_data(slot.place, at, out);
  finish(slot, result);
}

Result<void> UblkRequests::take_data(const Slot& slot, std::uint32_t at, MutableBytes out) {
  if (server_copies_) return port_->take_data(slot.place, at, out);
  std::memcpy(out.data(), buffer_of(slot.place) + at, out.size());
  return {};
}

Task<void> UblkRequests::run_write(Slot& slot, std::uint32_t at, std::uint32_t length) {
  executor_.spend(length / kBytesPerUnit);
  Buffer buffer = co_await buffer_from(service_.buffers(), length);
  if (buffer.data() == nullptr) {
    finish(slot, Error(Errc::no_space, "the volume takes no writes now"));
    co_return;
  }
  if (auto taken = take_data(slot, at, buffer.bytes()); !taken) {
    finish(slot, taken);
    co_return;
  }
  const RequestTimes::Span span(settings_.times, RequestKind::write, length);
  auto write =
      service_.write(slot.request.offset + at, std::move(buffer), durability_of(slot.request));
  Result<void> result = co_await std::move(write);
  finish(slot, result);
}

/// A flush, or what has a range and no data.
Task<void> UblkRequests::run_other(Slot& slot) {
  const bool is_flush = slot.request.kind == UblkRequest::Kind::flush;
  const bool takes_long = is_long(slot.request);
  if (takes_long) co_await long_requests_.acquire();
  const RequestTimes::Span span(
      settings_.times, is_flush ? RequestKind::flush : RequestKind::discard, slot.request.length);
  Result<void> result;
  if (is_flush) {
    Result<void> flushed = co_await service_.flush();
    result = std::move(flushed);
  } else {
    Result<void> changed = co_await change_range(slot.request);
    result = std::move(changed);
  }
  if (takes_long) {
    long_requests_.release();
    budget_.release_long();
  }
  finish(slot, result);
}

/// Discards or zeroes a range, piece by piece.
Task<Result<void>> UblkRequests::change_range(UblkRequest request) {
  std::uint64_t offset = request.offset;
  std::uint64_t left = request.length;
  while (left > 0) {
    if (refuses_) co_return refusal_of_a_stop();
    const std::uint64_t length = std::min<std::uint64_t>(left, kRangePiece - offset % kRangePiece);
    // The last piece makes what whole blocks of all of them say stable; parts of blocks at the
    // begin are the first one's.
    const bool is_edge = left == request.length || length == left;
    Result<void> changed = co_await change_piece(
        request, offset, length, is_edge ? durability_of(request) : Durability::cached);
    if (!changed) co_return changed;
    offset += length;
    left -= length;
  }
  co_return Result<void>();
}

Task<Result<void>> UblkRequests::change_piece(const UblkRequest& request, std::uint64_t offset,
                                              std::uint64_t length, Durability durability) {
  if (request.kind == UblkRequest::Kind::discard) {
    Result<void> discarded = co_await service_.discard(offset, length, durability);
    co_return discarded;
  }
  const ZeroMode mode = request.keeps_mapped ? ZeroMode::mapped : ZeroMode::punch;
  Result<void> zeroed = co_await service_.write_zeroes(offset, length, mode, durability);
  co_return zeroed;
}

void UblkRequests::finish(Slot& slot, const Result<void>& result) {
  if (!result && slot.failure == 0) slot.failure = failure_of(result.error());
  if (--slot.pieces_left > 0) return;
  const std::uint64_t done = slot.request.has_data() ? slot.request.length : 0;
  slot.state = State::fetching;
  ++answered_;
  port_->commit(slot.place, slot.failure != 0 ? slot.failure : static_cast<std::int32_t>(done),
                buffer_of(slot.place));
  client_.release();
}

void UblkRequests::refuse() { refuses_ = true; }

Task<void> UblkRequests::leave() {
  has_left_ = true;
  arrived_.wake_all();
  while (client_.in_flight() != 0) co_await client_.one_ended();
}

Task<void> UblkRequests::end() {
  is_ending_ = true;
  arrived_.wake_all();
  changed_.wake_all();
  co_await serving_.wait();
  while (client_.in_flight() != 0) co_await client_.one_ended();
}

}  // namespace uvdo
