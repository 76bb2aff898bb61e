// SPDX-License-Identifier: GPL-2.0-or-later
// What uvdo-rbd.so gives to the program that loads it.
#include "device/rbd_module.h"
#include "rbd/cluster.h"
#include "rbd/image.h"

extern "C" [[gnu::visibility("default")]] const uvdo::RbdModule* uvdo_rbd_module() {
  static constexpr uvdo::RbdModule kModule{UVDO_VERSION, uvdo::LibrbdImage::open,
                                           uvdo::LibrbdImage::take_over, uvdo::Cluster::health};
  return &kModule;
}
