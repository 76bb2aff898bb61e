// SPDX-License-Identifier: GPL-2.0-or-later
#include "rbd/cluster.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// How long a monitor is waited for; Ceph's own default is five minutes. A command may try twice.
constexpr const char* kConnectSeconds = "15";

/// Ten years, where Ceph's own default is an hour: a machine that slept must not write when it
/// wakes.
constexpr std::uint64_t kShutOutSeconds = 315'360'000;

constexpr std::array<std::pair<const char*, const char*>, 5> kSettings{{
    // A write that is answered is stable: nothing of ours keeps it back.
    {"rbd_cache", "false"},
    // Whoever breaks a lock shuts its owner out before.
    {"rbd_blocklist_on_break_lock", "true"},
    // Its own words for each failed request are for its log file.
    {"err_to_stderr", "false"},
    {"log_to_stderr", "false"},
    {"client_mount_timeout", kConnectSeconds},
}};

Errc code_of(int error) {
  switch (error) {
    case ENOENT: return Errc::not_found;
    case EROFS: return Errc::read_only;
    case EBUSY: return Errc::busy;
    case ENOSPC:
    case EDQUOT: return Errc::no_space;
    case ENOMEM: return Errc::no_memory;
    case EINVAL: return Errc::invalid_argument;
    default: return Errc::io;
  }
}

std::string user_of(const RbdPlace& place) {
  return fmt::format("client.{}", place.id.empty() ? "admin" : place.id);
}

Error cannot_connect(int result, const std::string& name, const RbdPlace& place) {
  switch (-result) {
    case ETIMEDOUT:
      return {Errc::io, fmt::format("cannot open {}: no monitor of the cluster has answered for {} "
                                    "seconds; look at mon_host in Ceph's configuration",
                                    name, kConnectSeconds)};
    case ENOENT:
      return {Errc::not_found,
              fmt::format("cannot open {}: there is no keyring for {}, or no monitor in Ceph's "
                          "configuration; name another user by ?id= or another file by ?conf=",
                          name, user_of(place))};
    case EACCES:
    case EPERM:
      return {Errc::io,
              fmt::format(
                  "cannot open {}: the cluster does not let {} in: there is no keyring of it here, "
                  "or another key in it; name another user by ?id= or another file by ?conf=",
                  name, user_of(place))};
    default: return ceph_error(result, fmt::format("cannot connect to the cluster of {}", name));
  }
}

}  // namespace

Error ceph_error(int result, const std::string& what) {
  const int error = -result;
  return {code_of(error), fmt::format("{}: {}", what, std::generic_category().message(error))};
}

Cluster::Cluster(Cluster&& other) noexcept
    : cluster_(std::exchange(other.cluster_, nullptr)),
      pool_(std::exchange(other.pool_, nullptr)) {}

Cluster::~Cluster() {
  if (pool_ != nullptr) rados_ioctx_destroy(pool_);
  if (cluster_ != nullptr) rados_shutdown(cluster_);
}

Result<void> Cluster::configure(const std::string& name, const RbdPlace& place) {
  const char* conf = place.conf.empty() ? nullptr : place.conf.c_str();
  if (const int result = rados_conf_read_file(cluster_, conf); result < 0) {
    return Error(
        Errc::not_found,
        fmt::format("cannot open {}: {} cannot be read: {}; name another by ?conf=", name,
                    place.conf.empty() ? "Ceph's configuration (/etc/ceph/ceph.conf)" : place.conf,
                    std::generic_category().message(-result)));
  }
  for (const auto& [key, value] : kSettings) {
    const int result = rados_conf_set(cluster_, key, value);
    if (result < 0) return ceph_error(result, fmt::format("setting {} for {}", key, name));
  }
  return {};
}

Result<Cluster> Cluster::connect(const std::string& name, const RbdPlace& place) {
  Cluster made;
  int result = rados_create(&made.cluster_, place.id.empty() ? nullptr : place.id.c_str());
  if (result < 0) return ceph_error(result, fmt::format("cannot open {}", name));
  if (auto done = made.configure(name, place); !done) return std::move(done).error();
  result = rados_connect(made.cluster_);
  if (result < 0) return cannot_connect(result, name, place);
  result = rados_ioctx_create(made.cluster_, place.pool.c_str(), &made.pool_);
  if (result == -ENOENT) {
    return Error(Errc::not_found, fmt::format("cannot open {}: there is no pool {} in the cluster",
                                              name, place.pool));
  }
  if (result < 0) return ceph_error(result, fmt::format("cannot open the pool of {}", name));
  if (!place.name_space.empty()) rados_ioctx_set_namespace(made.pool_, place.name_space.c_str());
  return made;
}

Result<void> Cluster::shut_out(const std::string& name, const std::string& client) const {
  // By the monitors' own command: librbd's setting for it makes breaking a lock fail (16.2).
  const std::string command = fmt::format(
      "{{\"prefix\": \"osd blocklist\", \"blocklistop\": \"add\", \"addr\": \"{}\", "
      "\"expire\": {}.0}}",
      client, kShutOutSeconds);
  const char* words[] = {command.c_str()};
  const int result =
      rados_mon_command(cluster_, words, 1, nullptr, 0, nullptr, nullptr, nullptr, nullptr);
  if (result < 0) {
    return ceph_error(result, fmt::format("cannot shut the former user of {} out for good; the "
                                          "user needs the profile rbd at the monitors",
                                          name));
  }
  return {};
}

Result<std::string> Cluster::health(const std::string& name, const RbdPlace& place) {
  auto cluster = connect(name, place);
  if (!cluster) return std::move(cluster).error();
  const char* words[] = {R"({"prefix": "health", "format": "json"})"};
  char* answer = nullptr;
  std::size_t length = 0;
  const int result = rados_mon_command(cluster->cluster_, words, 1, nullptr, 0, &answer, &length,
                                       nullptr, nullptr);
  if (result < 0) return ceph_error(result, fmt::format("cannot ask the cluster of {}", name));
  std::string text(answer, length);
  rados_buffer_free(answer);
  return text;
}

Result<void> Cluster::catch_up(const std::string& name) const {
  const int result = rados_wait_for_latest_osdmap(cluster_);
  if (result < 0) return ceph_error(result, fmt::format("cannot open {}", name));
  return {};
}

}  // namespace uvdo
