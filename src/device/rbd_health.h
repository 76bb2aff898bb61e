// SPDX-License-Identifier: GPL-2.0-or-later
// What a cluster of Ceph says is wrong with it, as far as it matters to who waits for it.
#pragma once

#include <string>

#include "base/result.h"

namespace uvdo {

/// In the cluster's own words; empty: nothing.
struct RbdHealth {
  std::string room;  ///< of storage or a pool that is full, or nearly
  std::string rest;
};

/// From what a monitor answers to "health" in JSON. corrupt: it is none.
Result<RbdHealth> rbd_health_of(const std::string& json);

}  // namespace uvdo
