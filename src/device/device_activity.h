// SPDX-License-Identifier: GPL-2.0-or-later
// What a device has done, and how busy it was with it.
#pragma once

#include <cstdint>

#include "base/cycle_clock.h"
#include "device/device.h"

namespace uvdo {

/// Counted since the device was opened. Discards and write_zeroes are in the times alone, and in
/// the failures as writes.
struct DeviceActivity {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t flushes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t in_flight = 0;  ///< now
  std::uint64_t busy_ns = 0;    ///< time in which at least one request was in flight
  std::uint64_t waited_ns = 0;  ///< the times of all requests added up
  std::uint64_t failed_reads = 0;
  std::uint64_t failed_writes = 0;  ///< other than for want of room
  std::uint64_t failed_flushes = 0;
  std::uint64_t found_no_room = 0;  ///< writes; they are tried again

  [[nodiscard]] std::uint64_t failures() const {
    return failed_reads + failed_writes + failed_flushes;
  }
};

/// Keeps the account of a device's requests.
class DeviceMeter {
 public:
  /// A request was submitted: `bytes` long, and to be ended.
  void begin(Device::Op op, std::uint64_t bytes) {
    advance();
    ++activity_.in_flight;
    switch (op) {
      case Device::Op::read:
        ++activity_.reads;
        activity_.read_bytes += bytes;
        break;
      case Device::Op::write:
        ++activity_.writes;
        activity_.written_bytes += bytes;
        break;
      case Device::Op::flush: ++activity_.flushes; break;
      case Device::Op::discard:
      case Device::Op::write_zeroes: break;
    }
  }
  /// One of those that began has failed; `no_room`: there was none for what it writes.
  void fail(Device::Op op, bool no_room) {
    switch (op) {
      case Device::Op::read: ++activity_.failed_reads; break;
      case Device::Op::flush: ++activity_.failed_flushes; break;
      case Device::Op::write:
      case Device::Op::discard:
      case Device::Op::write_zeroes:
        ++(no_room ? activity_.found_no_room : activity_.failed_writes);
        break;
    }
  }
  /// One of those that began was answered, after fail() if it has failed.
  void end() {
    advance();
    --activity_.in_flight;
  }
  /// As of now, with the time that those in flight have taken so far.
  [[nodiscard]] DeviceActivity activity() const {
    DeviceMeter now = *this;
    now.advance();
    return now.activity_;
  }

 private:
  /// Charges the time since the last change to those that were in flight.
  void advance() {
    const std::uint64_t now = clock_.now();
    if (activity_.in_flight > 0) {
      const std::uint64_t passed = clock_.between(last_, now);
      activity_.busy_ns += passed;
      activity_.waited_ns += passed * activity_.in_flight;
    }
    last_ = now;
  }
  CycleClock clock_;
  DeviceActivity activity_;
  std::uint64_t last_ = 0;
};

}  // namespace uvdo
