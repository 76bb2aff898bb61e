// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo list: all volumes that are served on this machine, or have a name.
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "base/printable.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "control/statistics_message.h"
#include "manage/servers.h"
#include "manage/stopped_volume.h"
#include "registry/find_storage.h"
#include "registry/registry.h"
#include "statistics/statistics_text.h"

namespace uvdo {
namespace {

/// A volume that is served, or has a name.
struct Row {
  std::optional<RunningServer> server{};
  std::optional<VolumeStatistics> statistics{};  ///< if its server told them
  std::optional<NamedVolume> named{};
  std::string path{};
  std::string state = "-";
  std::optional<std::uint64_t> logical_bytes{};
};

constexpr std::array<std::string_view, 8> kHead{"NAME", "VOLUME", "STATE", "SIZE",
                                                "USED", "SAVED",  "PID",   "OFFERED"};
using Cells = std::array<std::string, kHead.size()>;

std::string percent_text(int percent) {
  return percent < 0 ? std::string("-") : fmt::format("{}%", percent);
}

std::string offered_text(const DevicesAnswer& devices) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " ") + part; };
  for (const AttachedDevice& device : devices.devices) {
    add(device.path + (device.read_only ? "(ro)" : ""));
  }
  for (const FrontEndEntry& front_end : devices.front_ends) add(front_end.address);
  return text.empty() ? "-" : text;
}

Cells cells_of(const Row& row) {
  Cells cells;
  cells.fill("-");
  if (row.named) cells[0] = row.named->name;
  cells[1] = printable(row.path);
  cells[2] = row.state;
  if (row.logical_bytes) cells[3] = size_text(*row.logical_bytes);
  if (row.statistics) {
    cells[4] = percent_text(used_percent(*row.statistics));
    cells[5] = percent_text(saving_percent(*row.statistics));
  }
  if (row.server) {
    cells[6] = std::to_string(row.server->hello.pid);
    cells[7] = offered_text(row.server->devices);
  }
  return cells;
}

void print_table(const std::vector<Row>& rows) {
  std::vector<Cells> table;
  std::ranges::copy(kHead, table.emplace_back().begin());
  for (const Row& row : rows) table.push_back(cells_of(row));
  std::array<std::size_t, kHead.size()> widths{};
  for (const Cells& cells : table) {
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  for (const Cells& cells : table) {
    std::string line;
    for (std::size_t i = 0; i + 1 < cells.size(); ++i) {
      line += fmt::format("{:<{}}  ", cells[i], widths[i]);
    }
    print("{}{}\n", line, cells.back());
  }
}

Json json_of(const Row& row) {
  Json json = {{"volume", row.path}};
  if (row.named) {
    json["name"] = row.named->name;
    json["uuid"] = to_text(row.named->uuid);
    json["activated"] = row.named->is_activated;
  }
  if (row.server) {
    json["pid"] = row.server->hello.pid;
    json["user"] = row.server->user;
    json["control"] = row.server->control;
    json.update(fields_json(row.server->devices));
  }
  if (row.state != "-") json["state"] = row.state;
  if (row.logical_bytes) json["logicalBytes"] = *row.logical_bytes;
  if (row.statistics) {
    json["usedPercent"] = used_percent(*row.statistics);
    json["savingPercent"] = saving_percent(*row.statistics);
  }
  return json;
}

/// Of a server, which is asked for more.
Row row_of(RunningServer server) {
  Row row;
  row.path = server.hello.volume;
  if (auto told = server.ask(StatisticsRequest())) {
    row.statistics = std::move(told->statistics);
    row.state = state_of(*row.statistics);
    row.logical_bytes = row.statistics->logical_blocks * row.statistics->block_size;
  }
  row.server = std::move(server);
  return row;
}

/// Of a named volume that no server here has.
Row row_of(NamedVolume volume) {
  Row row;
  row.path = volume.storage;
  row.state = volume.lvm_pool.empty() ? "missing" : "with LVM";
  auto found = find_storage(volume);
  // The data of a pool that no server has are LVM's, whatever is found of them.
  if (found && volume.lvm_pool.empty()) {
    row.path = found->path;
    auto image = open_volume(row.path, {.replay = false});
    row.state = "stopped";
    if (image) {
      row.logical_bytes = (*image)->logical_blocks() * kBlockSize;
    } else {
      row.state = image.error().code() == Errc::busy ? "in use" : "unreadable";
    }
  }
  row.named = std::move(volume);
  return row;
}

/// Which of the named volumes a server has: by the UUID of what it serves, wherever that is.
const NamedVolume* find_named(const NamedVolumes& named, const RunningServer& server) {
  if (named.volumes.empty()) return nullptr;
  const auto uuid = uuid_at(server.hello.volume);
  if (!uuid) return nullptr;
  const auto by_uuid = std::ranges::find(named.volumes, *uuid, &NamedVolume::uuid);
  return by_uuid == named.volumes.end() ? nullptr : &*by_uuid;
}

}  // namespace

int run_list(int argc, char** argv) {
  bool json = false;
  Arguments app(
      "Tells which volumes are served on this machine, for root by all users, and which have "
      "names.",
      "uvdo list");
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  RunningServers running = running_servers();
  NamedVolumes named = Registry::of_environment().all();
  std::vector<Row> rows;
  std::vector<std::string> served_names;
  for (RunningServer& server : running.servers) {
    const NamedVolume* volume = find_named(named, server);
    Row& row = rows.emplace_back(row_of(std::move(server)));
    if (volume == nullptr) continue;
    row.named = *volume;
    served_names.push_back(volume->name);
  }
  for (NamedVolume& volume : named.volumes) {
    if (std::ranges::find(served_names, volume.name) == served_names.end()) {
      rows.push_back(row_of(std::move(volume)));
    }
  }
  std::vector<Error> problems = std::move(running.silent);
  std::ranges::move(named.unreadable, std::back_inserter(problems));
  if (json) {
    Json all = Json::array();
    for (const Row& row : rows) all.push_back(json_of(row));
    for (const Error& each : problems) add_error(all.emplace_back(Json::object()), each);
    print("{}\n", json_text(all, 2));
  } else {
    print_table(rows);
    for (const Error& each : problems) fail(each);
  }
  return problems.empty() ? kExitOk : kExitFailed;
}

}  // namespace uvdo
