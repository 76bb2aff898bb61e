// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/sim_device.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::size_t kSectorsPerBlock = kBlockSize / kSectorSize;

bool overlaps(std::uint64_t a, std::uint64_t a_length, std::uint64_t b, std::uint64_t b_length) {
  return a < b + b_length && b < a + a_length;
}

/// The bytes of a write as they are now, or what a read would see now.
SimPayload gather(std::span<const iovec> slices, std::uint64_t length) {
  auto bytes = std::make_shared<std::vector<std::byte>>();
  bytes->reserve(length);
  for (const iovec& slice : slices) {
    const auto* from = static_cast<const std::byte*>(slice.iov_base);
    bytes->insert(bytes->end(), from, from + slice.iov_len);
  }
  return bytes;
}

/// A block of zeros.
const SimPayload& zero_block() {
  static const SimPayload zeros = std::make_shared<std::vector<std::byte>>(kBlockSize);
  return zeros;
}

/// What nobody has written: a block that was discarded may read as this.
const SimPayload& noise_block() {
  static const SimPayload noise =
      std::make_shared<std::vector<std::byte>>(kBlockSize, std::byte{0xD5});
  return noise;
}

/// Whether the buffers of a write still hold what they held.
bool equals(std::span<const iovec> slices, const std::vector<std::byte>& bytes) {
  const std::byte* at = bytes.data();
  for (const iovec& slice : slices) {
    if (std::memcmp(at, slice.iov_base, slice.iov_len) != 0) return false;
    at += slice.iov_len;
  }
  return true;
}

}  // namespace

SimDevice::SimDevice(SimExecutor& executor, std::uint64_t size, SimDeviceOptions options)
    : SimDevice(executor, SparseImage(size), options) {}

SimDevice::SimDevice(SimExecutor& executor, SparseImage content, SimDeviceOptions options)
    : executor_(executor),
      options_(options),
      random_(executor.fork_random()),
      current_(std::move(content)),
      durable_(current_) {}

SimDevice::~SimDevice() = default;

void SimDevice::report_misuse(std::string what) {
  if (misuse_.empty()) misuse_ = std::move(what);
}

/// Whether the request breaks a rule of device.h so that it cannot be carried out; others are only
/// reported.
bool SimDevice::is_misused(const Request& request, std::uint64_t length) {
  const bool is_zeroing = request.op == Op::discard || request.op == Op::write_zeroes;
  bool aligned = request.offset % options_.alignment == 0 &&
                 (!is_zeroing || (request.offset % kBlockSize == 0 && length % kBlockSize == 0));
  for (const iovec& slice : request.slices) {
    aligned = aligned && slice.iov_len % options_.alignment == 0 &&
              reinterpret_cast<std::uintptr_t>(slice.iov_base) % options_.alignment == 0;
  }
  if (!aligned) {
    report_misuse(
        fmt::format("a request of {} bytes at byte {} whose offset, lengths or buffers "
                    "are not multiples of {}",
                    length, request.offset, options_.alignment));
    return true;
  }
  if (request.offset > size() || length > size() - request.offset) {
    report_misuse(fmt::format("a request of {} bytes at byte {} goes beyond the end of the device",
                              length, request.offset));
    return true;
  }
  if (!request.changes()) return false;
  for (const Flight& other : flights_) {
    // A slot that is free, or a request that changes nothing.
    if (other.number == 0 || other.op == Op::read || other.op == Op::flush) continue;
    if (overlaps(request.offset, length, other.offset, other.length)) {
      report_misuse(fmt::format("two writes to byte {} are under way at the same time",
                                std::max(request.offset, other.offset)));
    }
  }
  return false;
}

std::size_t SimDevice::take_flight() {
  if (free_flights_.empty()) {
    flights_.emplace_back();
    return flights_.size() - 1;
  }
  const std::size_t slot = free_flights_.back();
  free_flights_.pop_back();
  return slot;
}

template <class F>
void SimDevice::for_each_zeroed(const Flight& flight, F&& f) {
  // Each block has its own fate, and so its own number. A discard leaves some as they are.
  for (std::uint64_t i = 0; i < flight.length / kBlockSize; ++i) {
    const std::uint64_t number = flight.number + i;
    const std::uint64_t fate = mix_bits(number);
    if (flight.op == Op::discard && fate % 2 == 0) continue;
    const bool is_noise = flight.op == Op::discard && (fate >> 32U) % 2 == 0;
    f(number, flight.offset + i * kBlockSize, is_noise ? noise_block() : zero_block());
  }
}

void SimDevice::submit(Request& request) {
  // Power is cut before the request reaches the disk.
  if (!crashed_ && requests_ >= crash_at_request_) crash(crash_style_);
  ++requests_;
  ++counts_[static_cast<std::size_t>(request.op)];
  const std::uint64_t length = request.length;
  if (crashed_) {
    request.error = EIO;
    request.done = true;
    return;
  }
  if (request.op != Op::flush && is_misused(request, length)) {
    request.error = EINVAL;
    request.done = true;
    return;
  }
  const bool is_zeroing = request.op == Op::discard || request.op == Op::write_zeroes;
  if (is_zeroing && !options_.can_zero) {
    request.error = EOPNOTSUPP;
    request.done = true;
    return;
  }
  const std::size_t slot = take_flight();
  Flight& flight = flights_[slot];
  flight = Flight{};
  flight.request = &request;
  flight.number = next_number_++;
  flight.op = request.op;
  flight.offset = request.offset;
  flight.length = length;
  flight.fua = request.op == Op::write && request.durability == Durability::fua;
  // A flush covers what had been answered when it was submitted, and no more.
  flight.barrier = completed_;
  if (request.op == Op::write) {
    flight.payload = gather(request.slices, length);
    record(SimEvent::Kind::write_submitted, flight);
  } else if (request.op == Op::flush) {
    record(SimEvent::Kind::flush_submitted, flight);
  } else if (is_zeroing) {
    for_each_zeroed(flight,
                    [&](std::uint64_t number, std::uint64_t offset, const SimPayload& payload) {
                      record({SimEvent::Kind::write_submitted, false, number, offset, payload});
                    });
    next_number_ = flight.number + std::max<std::uint64_t>(length / kBlockSize, 1);
  }
  if (request.changes() && request.offset < crash_near_.end &&
      request.offset + length > crash_near_.begin && crash_near_.skip-- == 0) {
    crash_at_request_ = requests_ + crash_near_.requests;
    crash_near_ = {};
  }
  ++in_flight_;
  if (executor_.is_tracing()) trace_request("start", flight);

  Duration latency{static_cast<std::int64_t>(
      random_.between(static_cast<std::uint64_t>(options_.shortest.count()),
                      static_cast<std::uint64_t>(options_.longest.count())))};
  if (options_.slow_one_in != 0 && random_.chance(1, options_.slow_one_in)) {
    latency += Duration{static_cast<std::int64_t>(
        random_.below(static_cast<std::uint64_t>(options_.slowest.count()) + 1))};
  }
  apply_faults(flight, latency);
  // It stays in its slot, until release_hung() or a power cut.
  if (flight.hung) return;
  if (options_.instant_one_in != 0 && random_.chance(1, options_.instant_one_in)) {
    perform(flight);
    request.done = true;
    flight.number = 0;
    --in_flight_;
    free_flights_.push_back(slot);
    return;
  }
  // A read may see the device as it is now or as it is later.
  if (request.op == Op::read && random_.chance(1, 2)) {
    read_into(request);
    flight.payload = gather(request.slices, length);
  }
  schedule(slot, latency);
}

void SimDevice::apply_faults(Flight& flight, Duration& latency) {
  for (ActiveFault& active : faults_) {
    const SimFault& fault = active.fault;
    const bool kind_matches = (flight.op == Op::read && fault.reads) ||
                              (flight.op == Op::flush && fault.flushes) ||
                              (flight.op != Op::read && flight.op != Op::flush && fault.writes);
    if (!kind_matches) continue;
    if (flight.op != Op::flush &&
        !(flight.offset < fault.end && fault.begin < flight.offset + flight.length)) {
      continue;
    }
    if (fault.kind == SimFault::Kind::full &&
        ((flight.op != Op::write && flight.op != Op::write_zeroes) ||
         (fault.only_new && current_.is_written(flight.offset, flight.length)))) {
      continue;
    }
    // Of the requests that it could meet, the fault lets `skip` pass and then meets `count`.
    const std::uint64_t number = active.seen++;
    if (number < fault.skip || number - fault.skip >= fault.count) continue;
    // A full disk is a state that passes, and no fault of it.
    faulted_ |= fault.kind != SimFault::Kind::full;
    switch (fault.kind) {
      case SimFault::Kind::error: flight.error = fault.error; break;
      case SimFault::Kind::hang: flight.hung = true; break;
      case SimFault::Kind::slow: latency += fault.delay; break;
      case SimFault::Kind::full:
        flight.error = ENOSPC;
        ++found_full_;
        break;
    }
    if (executor_.is_tracing()) trace_request("fault at", flight);
  }
}

void SimDevice::schedule(std::size_t slot, Duration latency) {
  // The slot and the request's number: a completion that a crash has overtaken finds another
  // number in the slot.
  executor_.call_at(executor_.now() + latency, complete_callback, this,
                    (flights_[slot].number << 16U) | slot);
  // So many bits the slot has in the argument.
  check(slot < 0x10000, "too many requests in flight");
}

void SimDevice::complete_callback(void* context, std::uint64_t argument) {
  auto& device = *static_cast<SimDevice*>(context);
  const std::size_t slot = argument & 0xFFFFU;
  Flight& flight = device.flights_[slot];
  if (flight.number != argument >> 16U) return;
  device.perform(flight);
  Request& request = *flight.request;
  flight.number = 0;
  flight.payload.reset();
  --device.in_flight_;
  device.free_flights_.push_back(slot);
  device.executor_.post(request.waiter);
}

void SimDevice::read_into(const Request& request) const {
  std::uint64_t at = request.offset;
  for (const iovec& slice : request.slices) {
    current_.read(at, {static_cast<std::byte*>(slice.iov_base), slice.iov_len});
    at += slice.iov_len;
  }
}

void SimDevice::copy_out(const Flight& flight) const {
  const std::byte* at = flight.payload->data();
  for (const iovec& slice : flight.request->slices) {
    std::memcpy(slice.iov_base, at, slice.iov_len);
    at += slice.iov_len;
  }
}

void SimDevice::perform(Flight& flight) {
  flight.request->error = flight.error;
  switch (flight.op) {
    case Op::read:
      if (flight.error != 0) {
        // Whoever uses the buffer all the same shall see that it holds nothing of worth.
        for (const iovec& slice : flight.request->slices) {
          std::memset(slice.iov_base, 0xEE, slice.iov_len);
        }
      } else if (flight.payload) {
        copy_out(flight);
      } else {
        read_into(*flight.request);
      }
      break;
    case Op::write: perform_write(flight); break;
    case Op::flush: perform_flush(flight); break;
    case Op::discard:
    case Op::write_zeroes: perform_zeroing(flight); break;
  }
  executor_.fold(flight.number * 8 + static_cast<std::uint64_t>(flight.op));
  if (executor_.is_tracing()) trace_request(flight.error == 0 ? "done" : "FAILED", flight);
}

void SimDevice::perform_write(Flight& flight) {
  if (!equals(flight.request->slices, *flight.payload)) {
    report_misuse(
        fmt::format("the buffer of a write of {} bytes at byte {} changed while it was "
                    "under way",
                    flight.length, flight.offset));
  }
  CachedWrite write;
  write.offset = flight.offset;
  write.payload = flight.payload;
  write.fua = flight.fua && flight.error == 0;
  if (flight.error != 0) {
    // What became of a write that failed nobody knows, sector by sector.
    const std::size_t sectors = flight.length / kSectorSize;
    const std::uint64_t parts = random_.below(3);  // nothing, half, all
    write.sectors.resize(sectors);
    for (std::size_t i = 0; i < sectors; ++i) write.sectors[i] = random_.chance(parts, 2);
  } else {
    record(SimEvent::Kind::write_completed, flight);
  }
  destage(current_, write);
  cache_.push_back(std::move(write));
  ++completed_;
}

void SimDevice::perform_zeroing(const Flight& flight) {
  for_each_zeroed(flight,
                  [&](std::uint64_t number, std::uint64_t offset, const SimPayload& payload) {
                    if (flight.error != 0 && random_.chance(1, 2)) return;
                    CachedWrite write;
                    write.offset = offset;
                    write.payload = payload;
                    destage(current_, write);
                    cache_.push_back(std::move(write));
                    ++completed_;
                    if (flight.error == 0) {
                      record({SimEvent::Kind::write_completed, false, number, offset, nullptr});
                    }
                  });
}

void SimDevice::perform_flush(Flight& flight) {
  // The cache holds the completions [completed_ - cache_.size(), completed_).
  const std::uint64_t first = completed_ - cache_.size();
  const std::uint64_t covered = flight.barrier > first ? flight.barrier - first : 0;
  if (flight.error != 0) {
    // A flush that failed may have lost what it should have covered, though the next one succeeds.
    for (std::uint64_t i = 0; i < covered; ++i) cache_[i].uncertain = !cache_[i].fua;
    return;
  }
  if (flushes_lie_) return;
  record(SimEvent::Kind::flush_completed, flight);
  for (std::uint64_t i = 0; i < covered; ++i) {
    CachedWrite& write = cache_.front();
    if (write.uncertain && random_.chance(1, 2)) {
      // Lost: the failed flush has marked it clean, as page caches do.
    } else {
      destage(durable_, write);
    }
    cache_.pop_front();
  }
}

/// All of a write, or those of its sectors that came through.
void SimDevice::destage(SparseImage& image, const CachedWrite& write) const {
  const ConstBytes bytes(*write.payload);
  if (write.sectors.empty()) {
    image.write(write.offset, bytes);
    return;
  }
  for (std::size_t i = 0; i < write.sectors.size(); ++i) {
    if (!write.sectors[i]) continue;
    image.write(write.offset + i * kSectorSize, bytes.subspan(i * kSectorSize, kSectorSize));
  }
}

SparseImage SimDevice::durable() const {
  SparseImage image = durable_;
  // Written with FUA: stable by itself, whatever of the cache is not.
  for (const CachedWrite& write : cache_) {
    if (write.fua) destage(image, write);
  }
  return image;
}

void SimDevice::set_content(SparseImage content) {
  check(in_flight_ == 0, "a simulated disk gets new content only when it is idle");
  current_ = std::move(content);
  durable_ = current_;
  cache_.clear();
}

// ---- power cuts ----

void SimDevice::crash_near(std::uint64_t begin, std::uint64_t end, std::uint64_t skip,
                           std::uint64_t requests) {
  crash_near_ = {begin, end, skip, requests};
}

void SimDevice::crash_after(std::uint64_t requests, SimCrashStyle style) {
  crash_near_ = {};
  crash_at_request_ = requests == UINT64_MAX ? UINT64_MAX : requests_ + requests;
  crash_style_ = style;
}

void SimDevice::crash(SimCrashStyle style) {
  if (crashed_) return;
  if (style == SimCrashStyle::death) return die();
  survived_ = survivors(style);
  died_ = false;
  fail_all_under_way();
}

void SimDevice::die() {
  if (crashed_) return;
  land_some_under_way();
  died_ = true;
  fail_all_under_way();
}

void SimDevice::land_some_under_way() {
  std::vector<CachedWrite> writes = writes_at_risk();
  writes.erase(writes.begin(), writes.begin() + static_cast<std::ptrdiff_t>(cache_.size()));
  const std::uint64_t quarters = random_.below(5);
  for (const CachedWrite& write : writes) {
    for (std::size_t at = 0; at < write.payload->size(); at += kBlockSize) {
      if (!random_.chance(quarters, 4)) continue;
      const auto end = std::min(at + kBlockSize, write.payload->size());
      CachedWrite landed;
      landed.offset = write.offset + at;
      landed.payload = std::make_shared<const std::vector<std::byte>>(
          write.payload->begin() + static_cast<std::ptrdiff_t>(at),
          write.payload->begin() + static_cast<std::ptrdiff_t>(end));
      destage(current_, landed);
      cache_.push_back(std::move(landed));
      ++completed_;
    }
  }
  if (executor_.is_tracing()) {
    executor_.trace(fmt::format("disk: THE PROCESS DIES after {} requests, {} writes under way",
                                requests_, writes.size()));
  }
}

void SimDevice::fail_all_under_way() {
  crashed_ = true;
  crash_at_request_ = UINT64_MAX;
  crash_near_ = {};
  // Before who waits learns of it, so that what clients were promised is known as of the cut.
  if (on_crash_) on_crash_();
  for (std::size_t slot = 0; slot < flights_.size(); ++slot) {
    Flight& flight = flights_[slot];
    if (flight.number == 0) continue;
    flight.request->error = EIO;
    executor_.post(flight.request->waiter);
    flight = Flight{};
    free_flights_.push_back(slot);
  }
  in_flight_ = 0;
}

void SimDevice::restart() {
  check(crashed_, "only a crashed device is restarted");
  crashed_ = false;
  faults_.clear();
  if (died_) return;
  current_ = std::move(*survived_);
  durable_ = current_;
  survived_.reset();
  cache_.clear();
}

/// In the cache, in the order of their answers; then on their way, in the order of their
/// submission.
std::vector<SimDevice::CachedWrite> SimDevice::writes_at_risk() const {
  std::vector<CachedWrite> writes(cache_.begin(), cache_.end());
  std::vector<const Flight*> flying;
  for (const Flight& flight : flights_) {
    const bool changes = flight.op != Op::read && flight.op != Op::flush;
    if (flight.number != 0 && changes) flying.push_back(&flight);
  }
  std::sort(flying.begin(), flying.end(),
            [](const Flight* a, const Flight* b) { return a->number < b->number; });
  for (const Flight* flight : flying) {
    const auto add = [&](std::uint64_t offset, const SimPayload& payload) {
      CachedWrite write;
      write.offset = offset;
      write.payload = payload;
      writes.push_back(std::move(write));
    };
    if (flight->op == Op::write) {
      add(flight->offset, flight->payload);
    } else {
      for_each_zeroed(*flight, [&](std::uint64_t, std::uint64_t at, const SimPayload& payload) {
        add(at, payload);
      });
    }
  }
  return writes;
}

/// Which sectors of a write are kept: a bit each of a block's, with one pattern for all its blocks,
/// or one each.
std::vector<bool> SimDevice::torn_sectors(std::size_t sectors, std::uint8_t pattern, bool random) {
  std::vector<bool> kept(sectors);
  for (std::size_t i = 0; i < sectors; ++i) {
    if (random && i % kSectorsPerBlock == 0) {
      pattern = static_cast<std::uint8_t>(random_.between(1, 254));
    }
    kept[i] = ((pattern >> (i % kSectorsPerBlock)) & 1U) != 0;
  }
  return kept;
}

SparseImage SimDevice::survivors(SimCrashStyle style) {
  if (style == SimCrashStyle::any) {
    style = static_cast<SimCrashStyle>(random_.between(1, kSimCrashStyles - 1));
  }
  std::vector<CachedWrite> writes = writes_at_risk();
  SparseImage image = durable_;
  const std::size_t count = writes.size();
  const std::uint64_t point = random_.below(count + 1);
  const std::uint64_t quarters = random_.between(1, 3);
  // One sector lost, one kept, or the block cut in two: the tears that disks really make.
  std::uint8_t pattern = 0;
  switch (random_.below(4)) {
    case 0: pattern = static_cast<std::uint8_t>(1U << random_.below(8)); break;
    case 1: pattern = static_cast<std::uint8_t>(~(1U << random_.below(8))); break;
    case 2: pattern = static_cast<std::uint8_t>((1U << random_.between(1, 7)) - 1U); break;
    default: pattern = static_cast<std::uint8_t>(~((1U << random_.between(1, 7)) - 1U)); break;
  }
  const bool torn = style == SimCrashStyle::torn_fixed || style == SimCrashStyle::torn_random;
  for (std::size_t i = 0; i < count; ++i) {
    CachedWrite& write = writes[i];
    bool kept = true;
    switch (style) {
      case SimCrashStyle::drop_all: kept = false; break;
      case SimCrashStyle::prefix: kept = i < point; break;
      case SimCrashStyle::suffix: kept = i >= point; break;
      case SimCrashStyle::one_lost: kept = i != point; break;
      case SimCrashStyle::one_kept: kept = i == point; break;
      case SimCrashStyle::subset:
      case SimCrashStyle::torn_fixed:
      case SimCrashStyle::torn_random: kept = random_.chance(quarters, 4); break;
      case SimCrashStyle::any:
      case SimCrashStyle::death:
      case SimCrashStyle::keep_all: break;
    }
    // What was answered with FUA survives every cut.
    if (!write.fua) {
      if (!kept) continue;
      if (torn && write.sectors.empty() && random_.chance(3, 4)) {
        write.sectors = torn_sectors(write.payload->size() / kSectorSize, pattern,
                                     style == SimCrashStyle::torn_random);
      }
    }
    destage(image, write);
  }
  if (executor_.is_tracing()) {
    executor_.trace(fmt::format("disk: POWER CUT after {} requests, {} writes at risk, style {}",
                                requests_, count, static_cast<int>(style)));
  }
  return image;
}

void SimDevice::release_hung(int error) {
  for (std::size_t slot = 0; slot < flights_.size(); ++slot) {
    Flight& flight = flights_[slot];
    if (flight.number == 0 || !flight.hung) continue;
    flight.hung = false;
    flight.error = error;
    schedule(slot, options_.shortest);
  }
}

// ---- recording ----

void SimDevice::start_recording() {
  check(in_flight_ == 0, "recording starts when nothing is in flight");
  for (const CachedWrite& write : cache_) destage(durable_, write);
  cache_.clear();
  recording_ = std::make_unique<SimRecording>(SimRecording{current_, {}});
}

void SimDevice::record(SimEvent event) {
  if (recording_) recording_->events.push_back(std::move(event));
}

void SimDevice::record(SimEvent::Kind kind, const Flight& flight) {
  if (!recording_) return;
  SimEvent event;
  event.kind = kind;
  event.fua = flight.fua;
  event.number = flight.number;
  event.offset = flight.offset;
  if (kind == SimEvent::Kind::write_submitted) event.payload = flight.payload;
  record(std::move(event));
}

void SimDevice::trace_request(const char* what, const Flight& flight) const {
  constexpr std::array<const char*, kOps> kNames{"read", "write", "flush", "discard", "zero"};
  executor_.trace(fmt::format("disk: {} #{} {}{} block {} +{}", what, flight.number,
                              kNames[static_cast<std::size_t>(flight.op)], flight.fua ? " FUA" : "",
                              flight.offset / kBlockSize, flight.length / kBlockSize));
}

}  // namespace uvdo
