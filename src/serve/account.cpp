// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/account.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/store_name.h"

namespace uvdo {
namespace {

constexpr std::size_t kMostBytesOfAnAccount = 64U << 10U;
constexpr std::size_t kMostGroups = 1024;

std::optional<uid_t> number_of(const std::string& text) {
  uid_t number = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

/// As long as it lives, root is looked upon as another user.
class Disguise {
 public:
  // User last: without the rights of root the others cannot be set. On the way back it is first.
  Disguise(uid_t user, gid_t group, const std::vector<gid_t>& groups) {
    if (geteuid() != 0 || user == 0) return;
    groups_.resize(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
    is_on_ = getgroups(static_cast<int>(groups_.size()), groups_.data()) >= 0 &&
             setgroups(groups.size(), groups.data()) == 0 && setegid(group) == 0 &&
             seteuid(user) == 0;
  }
  Disguise(const Disguise&) = delete;
  Disguise& operator=(const Disguise&) = delete;
  ~Disguise() {
    if (!is_on_) return;
    const bool is_off =
        seteuid(0) == 0 && setegid(getgid()) == 0 && setgroups(groups_.size(), groups_.data()) == 0;
    check(is_off, "root could not become root again");
  }

 private:
  std::vector<gid_t> groups_;
  bool is_on_ = false;
};

}  // namespace

Result<Account> Account::find(const std::string& name) {
  std::vector<char> room(kMostBytesOfAnAccount);
  passwd entry{};
  passwd* found = nullptr;
  int error = getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found);
  // A name of digits is a name first.
  if (const auto number = number_of(name); found == nullptr && number) {
    error = getpwuid_r(*number, &entry, room.data(), room.size(), &found);
  }
  if (found == nullptr) {
    if (error != 0) return errno_error(error, fmt::format("looking up the user \"{}\"", name));
    return Error(Errc::not_found, fmt::format("there is no user \"{}\"", name));
  }
  Account account;
  account.name_ = found->pw_name;
  account.user_ = found->pw_uid;
  account.group_ = found->pw_gid;
  auto count = static_cast<int>(kMostGroups);
  account.groups_.resize(kMostGroups);
  if (getgrouplist(found->pw_name, found->pw_gid, account.groups_.data(), &count) < 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("the user {} is in more than {} groups", name, kMostGroups));
  }
  account.groups_.resize(static_cast<std::size_t>(count));
  if (geteuid() != 0 && geteuid() != account.user_) {
    return Error(Errc::invalid_argument,
                 fmt::format("only root can go on as the user {}; start the server as root, or as "
                             "that user",
                             account.name_));
  }
  return account;
}

SocketAccess Account::owning(SocketAccess access) const {
  if (geteuid() != 0) return access;
  // Who removes a socket at the end is the account, not root.
  access.owner = user_;
  if (!access.group) access.group = group_;
  return access;
}

Result<void> Account::become() const {
  if (geteuid() == 0 && user_ != 0) {
    // The groups while there is the right to set them; user and group with no way back.
    if (setgroups(groups_.size(), groups_.data()) != 0 || setresgid(group_, group_, group_) != 0 ||
        setresuid(user_, user_, user_) != 0) {
      return errno_error(errno, fmt::format("becoming the user {}", name_));
    }
    // Seen to be so, and not believed: whoever could go back to root has given up nothing.
    if (setuid(0) == 0 || geteuid() != user_ || getegid() != group_) {
      return Error(Errc::io,
                   fmt::format("the rights of root were not given up for those of {}", name_));
    }
  }
  return {};
}

/// A server behind a network asks nobody for rights to a file; its socket, where it has one, does,
/// and TLS needs the files with its keys for each connection.
Result<void> Account::check_may_connect(const NbdPlace& place) const {
  constexpr std::string_view kUnix = "unix:";
  if (place.server.starts_with(kUnix)) {
    auto allowed = check_may_reopen(place.server.substr(kUnix.size()), true);
    if (!allowed) return allowed;
  }
  if (!place.key_file.empty()) {
    if (auto allowed = check_may_reopen(place.key_file, false); !allowed) return allowed;
  }
  if (place.certificates.empty()) return {};
  if (auto allowed = check_may_reopen(place.certificates, false); !allowed) return allowed;
  for (const char* name : {"ca-cert.pem", "client-cert.pem", "client-key.pem", "ca-crl.pem"}) {
    const std::string file = place.certificates + "/" + name;
    // Which of them are needed the server decides.
    if (access(file.c_str(), F_OK) != 0) continue;
    if (auto allowed = check_may_reopen(file, false); !allowed) return allowed;
  }
  return {};
}

Result<void> Account::check_may_reopen(const std::string& path, bool for_writing) const {
  if (const auto place = NbdPlace::of(path)) return check_may_connect(*place);
  if (const auto place = RbdPlace::of(path)) {
    return check_may_reopen(place->conf.empty() ? "/etc/ceph/ceph.conf" : place->conf, false);
  }
  const Disguise disguise(user_, group_, groups_);
  // AT_EACCESS: by the effective user and group, which the disguise has changed.
  if (faccessat(AT_FDCWD, path.c_str(), for_writing ? R_OK | W_OK : R_OK, AT_EACCESS) == 0) {
    return {};
  }
  if (errno != EACCES && errno != EPERM) {
    return errno_error(errno, fmt::format("looking at {} as the user {}", path, name_));
  }
  return Error(Errc::invalid_argument,
               fmt::format("the user {0} may not open {1}, which suspending and resuming takes; "
                           "give {1} to {0}, or put {0} into a group that may read and write it",
                           name_, path));
}

}  // namespace uvdo
