// SPDX-License-Identifier: GPL-2.0-or-later
// The kinds of block devices of this machine: which there are, and their front ends.
#pragma once

#include <memory>

#include "async/uring_loop.h"
#include "base/log.h"
#include "block/request_budget.h"
#include "block/request_times.h"
#include "serve/attachments.h"
#include "serve/kept_descriptors.h"

namespace uvdo {

/// What the front ends of devices are made of. All of it outlives them.
struct DeviceSurroundings {
  UringLoop& loop;
  RequestBudget& requests;
  RequestTimes& times;
  std::string folder;     ///< for mounts, of this server alone; made and removed as needed
  std::string volume_id;  ///< its UUID
  /// Whether something may be missing that a server before this one has answered: who goes on with
  /// its devices has to be told.
  bool may_miss_writes = false;
  LogFunction log;
  KeptDescriptors* kept = nullptr;  ///< holds mounts for the next server; none: nobody does
};

/// The front end of a device, not started. unsupported: the machine, or the rights of this process,
/// do not allow that kind; the sentence says what to do.
Result<std::unique_ptr<FrontEnd>> make_device_front_end(const DeviceSurroundings& surroundings,
                                                        const Attachments::Order& order);

/// Ends what a server before this one has left of devices that are not made again: whoever uses
/// them gets errors instead of waiting for ever. When all devices were made again.
Task<void> end_unclaimed_mounts(const DeviceSurroundings& surroundings);

}  // namespace uvdo
