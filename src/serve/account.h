// SPDX-License-Identifier: GPL-2.0-or-later
// The account that a server goes on as once all is open that takes more rights: it was started by
// root, and whoever takes it over through a client then has no more than that account.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"
#include "base/store_name.h"
#include "net/socket_address.h"

namespace uvdo {

/// An account that has been looked up: become() asks no database any more.
class Account {
 public:
  /// By its name or number. not_found: there is none; invalid_argument: this process may not become
  /// it.
  static Result<Account> find(const std::string& name);

  [[nodiscard]] const std::string& name() const { return name_; }
  /// `access` for a socket that this account will own and remove. Whoever has become it already
  /// owns what it makes.
  [[nodiscard]] SocketAccess owning(SocketAccess access) const;
  /// Makes the process this account for good: user, group and groups, of all its threads. To be
  /// called before anything is under way in the kernel, whose own threads for this process keep the
  /// rights with which they were made.
  Result<void> become() const;
  /// Whether it may open `path`, which root has opened.
  Result<void> check_may_reopen(const std::string& path, bool for_writing) const;

 private:
  Result<void> check_may_connect(const NbdPlace& place) const;

  std::string name_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  std::vector<gid_t> groups_;
};

}  // namespace uvdo
