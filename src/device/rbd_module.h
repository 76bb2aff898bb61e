// SPDX-License-Identifier: GPL-2.0-or-later
// Images of Ceph as the program sees them. librbd and what it brings along are not linked to the
// program: uvdo-rbd.so, a module of a package of its own (src/rbd), has them, and is loaded when
// the first such image is named. Program and module share these declarations and header-only types,
// and are of one version.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/store_name.h"
#include "device/device.h"

namespace uvdo {

/// What an image is opened for.
enum class RbdAccess : std::uint8_t {
  look,   ///< to read, whoever writes it
  read,   ///< if nobody has it to write at that moment
  write,  ///< under its exclusive lock
};

/// An image that is open. Of one thread. One that was opened for writing has the image's exclusive
/// lock, and gives it to nobody; who breaks it has shut this client out of the cluster before.
class RbdImage {
 public:
  struct Answer {
    Device::Request* request = nullptr;  ///< none: there is no further one
    int error = 0;                       ///< errno; ESHUTDOWN: the cluster has shut us out
  };

  RbdImage() = default;
  RbdImage(const RbdImage&) = delete;
  RbdImage& operator=(const RbdImage&) = delete;
  /// Waits for what is under way, and gives the lock back.
  virtual ~RbdImage() = default;

  /// As whom the cluster knows the one that has the lock, which is this one; empty unless it was
  /// opened for writing.
  [[nodiscard]] virtual const std::string& owner() const = 0;
  /// Bytes. Waits for the cluster.
  [[nodiscard]] virtual Result<std::uint64_t> look_up_size() = 0;
  /// Makes it so large. Waits for the cluster.
  virtual Result<void> resize(std::uint64_t size) = 0;
  /// An eventfd that never blocks: it has something to be read as soon as there are answers.
  [[nodiscard]] virtual int event() const = 0;
  /// Begins a read, write, discard or write_zeroes; errno if it did not.
  virtual int start(Device::Request& request) = 0;
  /// One that has been answered.
  [[nodiscard]] virtual Answer collect() = 0;
};

/// What uvdo-rbd.so gives to the program.
struct RbdModule {
  const char* version;
  /// busy: another client has the lock, whose address is told; not_found, unsupported, io, ...: it
  /// cannot be opened so. `ended` is an owner() of which is known that it will never go on: it is
  /// shut out, and not waited for until the cluster gives it up.
  Result<std::unique_ptr<RbdImage>> (*open)(const std::string& name, const RbdPlace& place,
                                            RbdAccess access, const std::string& ended);
  /// Shuts the client that has the lock out of the cluster, then breaks its lock. Nothing is done
  /// where nobody has it.
  Result<void> (*take_over)(const std::string& name, const RbdPlace& place);
  /// What a monitor answers to "health", in JSON (device/rbd_health.h). In any thread; may wait for
  /// one for long. An error: why nobody answers.
  Result<std::string> (*health)(const std::string& name, const RbdPlace& place);
};

/// The only name that the module exports: a function of this type.
using RbdModuleFunction = const RbdModule* (*)();
inline constexpr const char* kRbdModuleFunction = "uvdo_rbd_module";

/// The module, loaded with the first call. not_found: it is not installed; unsupported: it belongs
/// to another version, or cannot be loaded.
Result<const RbdModule*> rbd_module();

}  // namespace uvdo
