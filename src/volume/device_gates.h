// SPDX-License-Identifier: GPL-2.0-or-later
// The way from a volume to its device. From the bottom up: a write that finds no room waits; one
// flush at a time, and none that succeeds after a failed one; all held while it is suspended.
#pragma once

#include "device/flush_gate.h"
#include "device/hold_gate.h"
#include "device/room_gate.h"

namespace uvdo {

/// Each gate is a Device over the one before it. The super block goes through `flushes`, below
/// `hold`: it is written while the volume is held.
struct DeviceGates {
  DeviceGates(Executor& executor, Device& device, Duration no_space_timeout)
      : room(executor, device, no_space_timeout, RoomGate::Patience::limited),
        flushes(executor, room),
        hold(executor, flushes) {}

  /// What all parts use.
  Device& top() { return hold; }

  RoomGate room;
  FlushGate flushes;
  HoldGate hold;
};

}  // namespace uvdo
