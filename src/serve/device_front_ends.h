// SPDX-License-Identifier: GPL-2.0-or-later
// The kinds of block devices of this machine: which there are, and their front ends.
#pragma once

#include <memory>

#include "async/uring_loop.h"
#include "block/request_budget.h"
#include "serve/attachments.h"

namespace uvdo {

/// The front end of a device, not started. unsupported: the machine, or the rights of this process,
/// do not allow that kind; the sentence says what to do. `loop` and `requests` must outlive it.
Result<std::unique_ptr<FrontEnd>> make_device_front_end(UringLoop& loop, RequestBudget& requests,
                                                        const Attachments::Order& order);

}  // namespace uvdo
