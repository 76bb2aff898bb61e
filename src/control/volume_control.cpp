// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/volume_control.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "control/growth_control.h"
#include "control/state_dump.h"
#include "control/suspension_control.h"
#include "control/volume_identity.h"
#include "watch/statistics_json.h"
#include "watch/volume_description.h"

namespace uvdo {

/// A command: its name, its parameters, and who carries it out.
struct ControlCommand {
  std::string_view name;
  std::array<std::string_view, 4> parameters;
  Task<Result<Json>> (VolumeControl::*run)(const Json& request);

  static std::span<const ControlCommand> all();
};

namespace {

constexpr const char* kNoSpaceTimeoutKey = "no-space-timeout";

}  // namespace

std::span<const ControlCommand> ControlCommand::all() {
  static constexpr std::array kCommands{
      ControlCommand{"hello", {}, &VolumeControl::hello},
      ControlCommand{"stats", {"activity"}, &VolumeControl::stats},
      ControlCommand{"info", {}, &VolumeControl::info},
      ControlCommand{"status", {}, &VolumeControl::status},
      ControlCommand{
          "set", {"compression", "deduplication", kNoSpaceTimeoutKey}, &VolumeControl::set},
      ControlCommand{"index", {"action"}, &VolumeControl::index},
      ControlCommand{"grow", {"logical", "physical"}, &VolumeControl::grow},
      ControlCommand{"suspend", {"flush"}, &VolumeControl::suspend},
      ControlCommand{"resume", {}, &VolumeControl::resume},
      ControlCommand{"flush", {}, &VolumeControl::flush},
      ControlCommand{"dump", {}, &VolumeControl::dump},
      ControlCommand{"log-level", {"level"}, &VolumeControl::log_level},
      ControlCommand{"stop", {}, &VolumeControl::stop},
  };
  return kCommands;
}

namespace {

Error no_such_command(std::string_view name) {
  std::string names;
  const auto all = ControlCommand::all();
  for (const ControlCommand& command : all) {
    if (!names.empty()) names += &command == &all.back() ? " and " : ", ";
    names += command.name;
  }
  return {Errc::invalid_argument,
          fmt::format("there is no command \"{}\"; there are {}", name, names)};
}

/// Every parameter of the request is one of the command's.
Result<void> check_parameters(const ControlCommand& command, const Json& request) {
  for (const auto& [key, value] : request.items()) {
    if (key == "uvdo" || key == "command") continue;
    if (!key.empty() && std::ranges::find(command.parameters, key) != command.parameters.end()) {
      continue;
    }
    std::string known;
    for (const std::string_view name : command.parameters) {
      if (name.empty()) break;
      known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", name);
    }
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" has no parameter \"{}\"; it takes {}", command.name, key,
                             known.empty() ? "none" : known));
  }
  return {};
}

}  // namespace

Task<Result<Json>> VolumeControl::handle(std::string command, Json request) {
  const auto all = ControlCommand::all();
  const auto found = std::ranges::find(all, command, &ControlCommand::name);
  if (found == all.end()) co_return no_such_command(command);
  if (auto checked = check_parameters(*found, request); !checked) {
    co_return std::move(checked).error();
  }
  co_return co_await (this->*found->run)(request);
}

void VolumeControl::stopped(const Result<void>& result) {
  if (!result) stop_result_ = result.error().clone();
  stopped_.set();
}

Task<Result<Json>> VolumeControl::stats(const Json& request) {
  bool with_activity = false;
  if (request.contains("activity")) {
    if (!request["activity"].is_boolean()) {
      co_return Error(Errc::invalid_argument, "\"activity\" is true or false");
    }
    with_activity = request["activity"].get<bool>();
  }
  // On a very large map the walk takes longer; the next to ask is told more. Who watches asks
  // again soon.
  co_await volume_.count_savings(with_activity ? Duration{0} : std::chrono::seconds(2));
  VolumeStatistics statistics = server_.monitor->statistics();
  statistics.logical_block_size = server_.logical_block_size;
  Json json = to_json(statistics);
  if (with_activity) json["activity"] = to_json(server_.monitor->activity());
  co_return json;
}

Task<Result<Json>> VolumeControl::hello(const Json& /*request*/) {
  co_return hello_of(server_.volume, server_.storages());
}

Task<Result<Json>> VolumeControl::info(const Json& /*request*/) {
  co_return describe_volume(volume_, server_.volume);
}

HealthFacts VolumeControl::facts() const {
  HealthFacts facts;
  facts.volume = server_.volume;
  facts.statistics = server_.monitor->statistics();
  facts.is_for_reading = volume_.is_opened_for_reading();
  if (volume_.is_read_only() && !facts.is_for_reading) {
    facts.read_only_reason = volume_.notifier().reason().message();
  }
  if (const JournalView* view = volume_.journal_view()) facts.blocks_lost = view->blocks_affected();
  facts.until_full = server_.monitor->space().until_full();
  facts.rate_over = server_.monitor->space().fill_rate().over;
  server_.disk->add_to(facts);
  const RoomGate& room = volume_.room();
  if (!room.is_open()) {
    facts.short_for =
        std::chrono::duration_cast<std::chrono::seconds>(executor_.now() - room.short_since());
    facts.bytes_waiting = room.waiting_bytes();
    facts.refuses_writes = room.state() != RoomGate::State::waiting;
  }
  return facts;
}

Task<Result<Json>> VolumeControl::status(const Json& /*request*/) {
  const Health health = assess(facts());
  Json troubles = Json::array();
  for (const Trouble& trouble : health.troubles) {
    troubles.push_back({{"problem", trouble.problem}, {"advice", trouble.advice}});
  }
  co_return Json{{"well", health.is_well()},
                 {"summary", health.summary},
                 {"troubles", std::move(troubles)},
                 {"notes", health.notes}};
}

Task<Result<Json>> VolumeControl::set(const Json& request) {
  // Nothing is set if anything is wrong.
  for (const auto& [key, value] : request.items()) {
    if (key == kNoSpaceTimeoutKey &&
        (!value.is_number_integer() || value < 0 || value > kLongestNoSpaceTimeout.count())) {
      co_return Error(Errc::invalid_argument, fmt::format("\"{}\" is set to 0 to {} seconds", key,
                                                          kLongestNoSpaceTimeout.count()));
    }
    if (key != "compression" && key != "deduplication") continue;
    if (!value.is_boolean()) {
      co_return Error(Errc::invalid_argument, fmt::format("\"{}\" is set to true or false", key));
    }
  }
  if (request.contains("compression")) volume_.set_compression(request["compression"].get<bool>());
  if (request.contains("deduplication")) {
    volume_.set_deduplication(request["deduplication"].get<bool>());
  }
  if (request.contains(kNoSpaceTimeoutKey)) {
    volume_.set_no_space_timeout(
        std::chrono::seconds(request[kNoSpaceTimeoutKey].get<std::uint32_t>()));
  }
  const auto timeout =
      std::chrono::duration_cast<std::chrono::seconds>(volume_.options().no_space_timeout);
  co_return Json{{"compression", volume_.options().compression},
                 {"deduplication", volume_.options().deduplication},
                 {kNoSpaceTimeoutKey, timeout.count()}};
}

std::string VolumeControl::index_state() const {
  const DedupeIndex* index = volume_.index();
  return std::string(name_of(index != nullptr ? index->state() : IndexState::closed));
}

Task<Result<Json>> VolumeControl::index(const Json& request) {
  const std::string action = request.contains("action") && request["action"].is_string()
                                 ? request["action"].get<std::string>()
                                 : "";
  Result<void> done = check_in_use();
  if (!done) co_return std::move(done).error();
  if (action == "create") {
    auto created = co_await volume_.create_index();
    done = std::move(created);
  } else if (action == "close") {
    auto closed = co_await volume_.close_index();
    done = std::move(closed);
  } else if (action == "enable") {
    auto enabled = co_await volume_.enable_index();
    done = std::move(enabled);
  } else if (action == "disable") {
    volume_.set_deduplication(false);
  } else {
    done = Error(Errc::invalid_argument, "\"action\" is create, close, enable or disable");
  }
  if (!done) co_return std::move(done).error();
  co_return Json{{"state", index_state()}};
}

Task<Result<Json>> VolumeControl::grow(const Json& request) {
  co_return co_await grow_by_request(volume_, request);
}

Task<Result<Json>> VolumeControl::suspend(const Json& request) {
  co_return co_await suspend_by_request(volume_, request);
}

Task<Result<Json>> VolumeControl::resume(const Json& /*request*/) {
  co_return co_await resume_by_request(volume_);
}

Result<void> VolumeControl::check_in_use() const {
  if (!volume_.is_suspended()) return {};
  return Error(Errc::busy, "the volume is suspended; resume it first");
}

Task<Result<Json>> VolumeControl::flush(const Json& /*request*/) {
  if (auto in_use = check_in_use(); !in_use) co_return std::move(in_use).error();
  auto flushed = co_await volume_.flush();
  if (!flushed) co_return std::move(flushed).error();
  co_return Json::object();
}

Task<Result<Json>> VolumeControl::dump(const Json& /*request*/) {
  co_return co_await dump_state(executor_, volume_);
}

Task<Result<Json>> VolumeControl::log_level(const Json& request) {
  if (request.contains("level")) {
    if (!request["level"].is_string()) {
      co_return Error(Errc::invalid_argument, "\"level\" is a name, such as \"debug\"");
    }
    auto level = parse_log_level(request["level"].get<std::string>());
    if (!level) co_return std::move(level).error();
    server_.log->set_level(*level);
  }
  co_return Json{{"level", std::string(name_of(server_.log->level()))}};
}

Task<Result<Json>> VolumeControl::stop(const Json& /*request*/) {
  server_.stop();
  co_await stopped_.wait();
  if (!stop_result_) co_return stop_result_.error().clone();
  co_return Json::object();
}

}  // namespace uvdo
