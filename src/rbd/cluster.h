// SPDX-License-Identifier: GPL-2.0-or-later
// A connection to a Ceph cluster, and the pool in which an image is.
#pragma once

#include <string>

#include <rados/librados.h>

#include "base/result.h"
#include "base/store_name.h"

namespace uvdo {

class Cluster {
 public:
  /// Waits for a monitor for 15 seconds at most. not_found: no such pool; io, read_only, ...:
  /// the cluster cannot be reached so. `name` is what people call the image.
  static Result<Cluster> connect(const std::string& name, const RbdPlace& place);
  /// By a connection of its own: RbdModule::health.
  static Result<std::string> health(const std::string& name, const RbdPlace& place);

  Cluster(Cluster&& other) noexcept;
  Cluster& operator=(Cluster&&) = delete;
  ~Cluster();

  [[nodiscard]] rados_ioctx_t pool() const { return pool_; }
  /// Has the cluster refuse all that a client ("10.0.0.3:0/123456789") still sends. Waits for a
  /// monitor.
  Result<void> shut_out(const std::string& name, const std::string& client) const;
  /// Sees to it that requests from here on are made by the cluster's map of now, so that they come
  /// behind the shutting out of another client that has happened. Waits for a monitor.
  Result<void> catch_up(const std::string& name) const;

 private:
  Cluster() = default;
  Result<void> configure(const std::string& name, const RbdPlace& place);

  rados_t cluster_ = nullptr;
  rados_ioctx_t pool_ = nullptr;
};

/// "cannot DO NAME: REASON", of what librados and librbd return: a negative errno.
[[nodiscard]] Error ceph_error(int result, const std::string& what);

}  // namespace uvdo
