// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/servers.h"

#include <filesystem>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/control_path.h"
#include "device/folder_entries.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

/// The folders of control sockets: this user's; for root, those of all.
std::vector<fs::path> control_folders() {
  std::vector<fs::path> folders{control_folder()};
  if (geteuid() != 0) return folders;
  for (const fs::path& user : entries_of("/run/user")) folders.push_back(user / "uvdo");
  for (const fs::path& entry : entries_of("/tmp")) {
    if (entry.filename().string().starts_with("uvdo-")) folders.push_back(entry);
  }
  return folders;
}

/// Nothing if nobody listens there, as after a server was killed.
std::optional<Result<RunningServer>> ask_who(const std::string& socket, uid_t user,
                                             std::chrono::milliseconds patience) {
  auto connection = ControlConnection::open(socket, patience, user);
  if (!connection) {
    if (connection.error().code() == Errc::not_found) return std::nullopt;
    return std::move(connection).error();
  }
  auto hello = connection->ask(HelloRequest());
  if (!hello) {
    // It has ended since.
    if (hello.error().code() == Errc::not_found) return std::nullopt;
    return std::move(hello).error();
  }
  RunningServer server{socket, user, std::move(*hello)};
  if (auto devices = connection->ask(DevicesRequest())) server.devices = std::move(*devices);
  return server;
}

}  // namespace

RunningServers running_servers(std::chrono::milliseconds patience) {
  RunningServers found;
  for (const fs::path& folder : control_folders()) {
    struct stat status {};
    if (lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    for (const fs::path& entry : entries_of(folder)) {
      // Links are second names of sockets that are there themselves.
      if (entry.extension() != ".control" || fs::is_symlink(entry)) continue;
      auto asked = ask_who(entry, status.st_uid, patience);
      if (!asked) continue;
      if (*asked) {
        found.servers.push_back(std::move(**asked));
      } else {
        found.silent.push_back(std::move(*asked).error());
      }
    }
  }
  return found;
}

std::string state_of(const VolumeStatistics& statistics) {
  if (statistics.extra.suspended) return "suspended";
  switch (statistics.mode) {
    case OperatingMode::normal: return statistics.in_recovery_mode ? "recovering" : "normal";
    case OperatingMode::recovering: return "recovering";
    case OperatingMode::read_only: return "read-only";
  }
  return "unknown";
}

}  // namespace uvdo
