// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/volume_control.h"

#include <fmt/format.h>

#include "serve/statistics_json.h"

namespace uvdo {

Task<Result<ControlServer::Json>> VolumeControl::handle(std::string command,
                                                        ControlServer::Json request) {
  if (command == "stats") {
    // On a very large map the walk takes longer; the next to ask is told more.
    co_await volume_.count_savings(std::chrono::seconds(2));
    co_return to_json(volume_.statistics());
  }
  if (command == "set") co_return set(request);
  if (command == "flush") {
    auto flushed = co_await volume_.flush();
    if (!flushed) co_return std::move(flushed).error();
    co_return ControlServer::Json::object();
  }
  if (command == "stop") {
    stop_();
    co_await stopped_.wait();
    if (!stop_result_) co_return stop_result_.error().clone();
    co_return ControlServer::Json::object();
  }
  co_return Error(
      Errc::invalid_argument,
      fmt::format("there is no command \"{}\"; there are stats, set, flush and stop", command));
}

void VolumeControl::stopped(const Result<void>& result) {
  if (!result) stop_result_ = result.error().clone();
  stopped_.set();
}

Result<ControlServer::Json> VolumeControl::set(const ControlServer::Json& request) {
  for (const auto& [key, value] : request.items()) {
    if (key == "uvdo" || key == "command") continue;
    if (key != "compression" && key != "deduplication") {
      return Error(Errc::invalid_argument,
                   fmt::format("\"{}\" cannot be set; compression and deduplication can", key));
    }
    if (!value.is_boolean()) {
      return Error(Errc::invalid_argument, fmt::format("\"{}\" is set to true or false", key));
    }
  }
  if (request.contains("compression")) volume_.set_compression(request["compression"].get<bool>());
  if (request.contains("deduplication")) {
    volume_.set_deduplication(request["deduplication"].get<bool>());
  }
  return ControlServer::Json{{"compression", volume_.options().compression},
                             {"deduplication", volume_.options().deduplication}};
}

}  // namespace uvdo
