// SPDX-License-Identifier: GPL-2.0-or-later
// A simulated disk for unit tests: it answers at once, as memory does, until a test has it fail or
// keeps an answer back.
#pragma once

#include "device/sim_device.h"

namespace uvdo::testing {

inline constexpr SimDeviceOptions kAnswersAtOnce{.slow_one_in = 0, .instant_one_in = 1};

/// What becomes of the requests of a kind that touch [begin, end).
inline SimFault fault_of(Device::Op op, SimFault::Kind kind, std::uint64_t begin = 0,
                         std::uint64_t end = UINT64_MAX) {
  SimFault fault;
  fault.kind = kind;
  fault.reads = op == Device::Op::read;
  fault.writes = op == Device::Op::write;
  fault.flushes = op == Device::Op::flush;
  fault.begin = begin;
  fault.end = end;
  return fault;
}
inline SimFault failing(Device::Op op, std::uint64_t begin = 0, std::uint64_t end = UINT64_MAX) {
  return fault_of(op, SimFault::Kind::error, begin, end);
}
/// They are answered after release_hung().
inline SimFault hanging(Device::Op op, std::uint64_t begin = 0, std::uint64_t end = UINT64_MAX) {
  return fault_of(op, SimFault::Kind::hang, begin, end);
}

}  // namespace uvdo::testing
