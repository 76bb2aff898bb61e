// SPDX-License-Identifier: GPL-2.0-or-later
// The sockets at which a server is reached. They can be there before the volume is open, for a
// server that gives up its rights in between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/serve_options.h"
#include "control/control_path.h"
#include "net/socket_address.h"

namespace uvdo {

struct Doors {
  std::vector<ListeningSocket> nbd;
  std::vector<ListeningSocket> metrics;
  std::vector<ListeningSocket> control;  ///< one
  std::string control_path;
  std::unique_ptr<ControlLink> control_link;

  /// Opens all that `options` name; nobody is let in yet. The inherited ones are taken over.
  static Result<Doors> open(ServeOptions& options);
};

}  // namespace uvdo
