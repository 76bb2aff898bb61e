// SPDX-License-Identifier: GPL-2.0-or-later
// What the sources of NbdStore share and nobody else sees.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_memory.h"
#include "device/nbd_store.h"

namespace uvdo {

/// A request with its commands; or a piece of what is written again, or a flush of the store's own.
struct NbdStore::Job {
  enum class For : std::uint8_t { request, own_flush, replay };
  For purpose = For::request;
  Op op{};
  Request* request = nullptr;  // of For::request
  std::vector<NbdCommand> commands;
  std::size_t unanswered = 0;
  int error = 0;
  std::shared_ptr<AlignedMemory> memory;  // what is read into, or written from, if need be
  std::uint64_t mark = 0;                 // of a flush: what it makes stable
  bool needs_flush = false;               // a write that must be stable, without FUA
  int lost_error = 0;                     // of a flush: an earlier one had failed
};

/// An operation of the loop that waits for a connection or for a time. It owns itself while the
/// kernel has it, and outlives who has forgotten it.
struct NbdStore::Watch : UringLoop::Operation {
  NbdStore* store = nullptr;  // none: nobody is interested any more
  NbdClient* connection = nullptr;
  short events = 0;
  __kernel_timespec time{};
  Clock::time_point until{};
  std::shared_ptr<Watch> self;  // while the kernel has it
};

}  // namespace uvdo
