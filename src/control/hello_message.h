// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "hello": which volume the server has (control/volume_identity.h).
#pragma once

#include "control/message.h"

namespace uvdo {

/// A storage, and where in it the volume begins: the same for every way to it.
struct StoragePlace {
  std::string id;  ///< StorageId::text()
  std::uint64_t start = 0;
  bool operator==(const StoragePlace&) const = default;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("id", self.id);
    v.value("start", self.start);
  }
};

/// What a client needs to see whether this is the server of the volume that it means.
struct HelloAnswer {
  std::string volume;                  ///< its path, absolute
  std::vector<StoragePlace> storages;  ///< none while it is suspended
  std::uint64_t pid = 0;
  std::string version{};          ///< of the program; empty: it does not tell
  std::string upgrade_problem{};  ///< why one that was to go on did not, so that this one does
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("volume", self.volume);
    v.value("storages", self.storages);
    v.value("pid", self.pid);
    v.value("version", self.version);
    v.value("upgrade_problem", self.upgrade_problem);
  }
};

struct HelloRequest : NoParameters {
  static constexpr std::string_view kCommand = "hello";
  using Answer = HelloAnswer;
};

}  // namespace uvdo
