// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace uvdo {

/// Something that waits by its own choice, and can be told that others wait for it.
class Hurry {
 public:
  virtual void hurry() = 0;

 protected:
  ~Hurry() = default;
};

}  // namespace uvdo
