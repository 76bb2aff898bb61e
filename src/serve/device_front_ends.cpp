// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/device_front_ends.h"

#include <fmt/core.h>

namespace uvdo {

Result<std::unique_ptr<FrontEnd>> make_device_front_end(UringLoop& /*loop*/,
                                                        RequestBudget& /*requests*/,
                                                        const Attachments::Order& order) {
  return Error(Errc::unsupported, fmt::format("{} is not there", name_of(order.device.kind)));
}

}  // namespace uvdo
