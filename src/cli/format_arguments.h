// SPDX-License-Identifier: GPL-2.0-or-later
// The options that say what a new volume is like, of uvdo format and uvdo create; and what is told
// of one that was made.
#pragma once

#include <string>

#include "arguments/arguments.h"
#include "base/json.h"
#include "manage/format.h"

namespace uvdo {

inline constexpr unsigned kDefaultSlabBits = 19;

struct FormatArguments {
  std::string device;
  std::string size;
  std::string logical_size;
  std::string slab_size;
  std::string index_memory = "0.25";
  std::string uuid;
  unsigned slab_bits = kDefaultSlabBits;
  bool sparse = false;
  bool force = false;
  bool yes = false;
  bool verbose = false;
  bool json = false;
  bool preallocate = false;

  /// Adds all but DEVICE; this must outlive the parsing.
  void add_to(Arguments& app);
  /// What they mean, with the questions to the user that may be asked. invalid_argument: they are
  /// wrong.
  [[nodiscard]] Result<FormatOptions> read() const;
  /// Tells what was made, as the options ask for it.
  void print(const MadeVolume& made) const;
  /// The same as uvdo info --json says of a volume that was never started.
  [[nodiscard]] Json json_of(const MadeVolume& made) const;
};

}  // namespace uvdo
