// SPDX-License-Identifier: GPL-2.0-or-later
// What a mount shows: a folder that never changes, with one file, which is the volume. Names,
// attributes and entries, as the kernel wants them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "fuse/fuse_protocol.h"

namespace uvdo {

struct FuseOwner {
  uid_t user = 0;
  gid_t group = 0;
};

class FuseFolder {
 public:
  /// How long the kernel may remember attributes, in seconds: for good, as it is told when the size
  /// changes. So it has no question when a process asks which file a loop device is on (/sys and
  /// LOOP_GET_STATUS64); the server itself does, on its loop, when it opens its storage again.
  static constexpr std::uint64_t kAttributesValid = UINT32_MAX;

  /// `name`: of the file; `mode`: its permissions; `now_us`: since 1970.
  FuseFolder(std::string name, FuseOwner owner, mode_t mode, std::uint64_t now_us)
      : name_(std::move(name)), owner_(owner), mode_(mode), made_us_(now_us), changed_us_(now_us) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  /// The data have changed since; noted when somebody asks.
  void note_change() { has_changed_ = true; }

  /// Nothing if `node` is none of ours. `size`: bytes of the file; `now_us`: since 1970.
  [[nodiscard]] std::optional<fuse_attr> attributes(std::uint64_t node, std::uint64_t size,
                                                    std::uint64_t now_us);
  /// The node of a name in the folder.
  [[nodiscard]] std::optional<std::uint64_t> find(std::string_view name) const;
  /// Entries from `offset` on, as many as `room` bytes hold; none behind the last.
  [[nodiscard]] std::vector<std::byte> entries(std::uint64_t offset, std::size_t room) const;

 private:
  std::string name_;
  FuseOwner owner_;
  mode_t mode_;
  std::uint64_t made_us_;
  std::uint64_t changed_us_;
  bool has_changed_ = false;
};

/// An errno value for a name that the file cannot have; 0 if it can.
[[nodiscard]] int check_file_name(std::string_view name);

}  // namespace uvdo
