// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo list: all volumes that are served on this machine.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "control/statistics_message.h"
#include "manage/servers.h"
#include "statistics/statistics_text.h"

namespace uvdo {
namespace {

/// A server, and its statistics if it told them.
struct Row {
  RunningServer server;
  std::optional<VolumeStatistics> statistics;
};

constexpr std::array<std::string_view, 7> kHead{"VOLUME", "STATE", "SIZE",   "USED",
                                                "SAVED",  "PID",   "OFFERED"};
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
  cells[0] = row.server.hello.volume;
  if (row.statistics) {
    const VolumeStatistics& s = *row.statistics;
    cells[1] = state_of(s);
    cells[2] = size_text(s.logical_blocks * s.block_size);
    cells[3] = percent_text(used_percent(s));
    cells[4] = percent_text(saving_percent(s));
  }
  cells[5] = std::to_string(row.server.hello.pid);
  cells[6] = offered_text(row.server.devices);
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
  Json json = {{"volume", row.server.hello.volume},
               {"pid", row.server.hello.pid},
               {"user", row.server.user},
               {"control", row.server.control}};
  json.update(fields_json(row.server.devices));
  if (row.statistics) {
    const VolumeStatistics& s = *row.statistics;
    json["state"] = state_of(s);
    json["logicalBytes"] = s.logical_blocks * s.block_size;
    json["usedPercent"] = used_percent(s);
    json["savingPercent"] = saving_percent(s);
  }
  return json;
}

}  // namespace

int run_list(int argc, char** argv) {
  bool json = false;
  Arguments app("Tells which volumes are served on this machine; for root, by all users.",
                "uvdo list");
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  RunningServers running = running_servers();
  std::vector<Row> rows;
  for (RunningServer& server : running.servers) {
    Row row{std::move(server), {}};
    if (auto told = row.server.ask(StatisticsRequest()))
      row.statistics = std::move(told->statistics);
    rows.push_back(std::move(row));
  }
  if (json) {
    Json all = Json::array();
    for (const Row& row : rows) all.push_back(json_of(row));
    print("{}\n", json_text(all, 2));
  } else {
    print_table(rows);
  }
  int status = kExitOk;
  for (const Error& each : running.silent) status = fail(each);
  return status;
}

}  // namespace uvdo
