// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/status_page.h"

#include <utility>

#include <fmt/core.h>

#include "control/json_in_turns.h"
#include "watch/health.h"
#include "watch/rates_json.h"
#include "watch/statistics_json.h"
#include "watch/web_files.h"

namespace uvdo {
namespace {

constexpr std::string_view kJson = "application/json; charset=utf-8";

/// Of a file of the page, by the end of its name.
std::string_view type_of(std::string_view name) {
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "text/html; charset=utf-8";
}

Task<std::string> text_of(std::string_view text) { co_return std::string(text); }

}  // namespace

StatusPage::StatusPage(UringLoop& loop, Sources sources, std::vector<std::string> names)
    : loop_(loop),
      sources_(std::move(sources)),
      history_(loop.wall_clock_us()),
      server_(loop, site(std::move(names))),
      alarm_(loop),
      tasks_(loop) {}

HttpSite StatusPage::site(std::vector<std::string> names) {
  HttpSite site;
  site.hosts = HttpSite::Hosts::own;
  site.names = std::move(names);
  for (const WebFile& file : web_files()) {
    const bool is_page = file.name == "page.html";
    site.documents.push_back({is_page ? "/" : fmt::format("/{}", file.name), type_of(file.name),
                              [text = file.text](const HttpRequest&) { return text_of(text); }});
  }
  site.documents.push_back(
      {"/volume.json", kJson, [this](const HttpRequest&) { return volume_text(); }});
  site.documents.push_back({"/history.json", kJson, [this](const HttpRequest& request) {
                              return history_.json(loop_, request.number("after").value_or(0));
                            }});
  return site;
}

void StatusPage::start(std::vector<ListeningSocket> sockets) {
  last_ = sources_.look();
  tasks_.start(record());
  server_.start(std::move(sockets));
}

Task<void> StatusPage::shutdown() {
  stopping_ = true;
  alarm_.ring();
  co_await server_.shutdown();
  co_await tasks_.wait();
}

std::vector<std::string> StatusPage::urls() const {
  std::vector<std::string> urls;
  constexpr std::string_view kTcp = "tcp:";
  for (const std::string& address : server_.addresses()) {
    urls.push_back(address.starts_with(kTcp)
                       ? fmt::format("http://{}/", address.substr(kTcp.size()))
                       : address);
  }
  return urls;
}

Task<void> StatusPage::record() {
  while (!stopping_) {
    co_await alarm_.sleep(History::kInterval);
    if (stopping_) break;
    // A piece of work of its own, behind what is ready.
    co_await loop_.next_turn();
    look();
  }
}

void StatusPage::look() {
  Snapshot now = sources_.look();
  lately_ = rates_between(last_, now);
  history_.add(HistorySample::of(*lately_, now));
  last_ = std::move(now);
}

Task<std::string> StatusPage::volume_text() {
  auto describing = sources_.describe();
  Json json = co_await std::move(describing);
  {
    const Snapshot now = sources_.look();
    json["mode"] = std::string(name_of(condition_of(now.statistics)));
    json["uptimeMs"] = now.activity.uptime_us / 1000;
    json["space"] = space_json(now);
    json["statistics"] = to_json(now.statistics);
  }
  // As a line of `uvdo stats --watch --json`, of the last sample of the history.
  json["lately"] = lately_ ? to_json(*lately_, last_) : Json(nullptr);
  auto writing = json_text_in_turns(loop_, std::move(json));
  co_return co_await std::move(writing);
}

}  // namespace uvdo
