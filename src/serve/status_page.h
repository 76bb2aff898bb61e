// SPDX-License-Identifier: GPL-2.0-or-later
// The status page of a served volume, for browsers: a page of src/watch/web and the figures that it
// asks for, as JSON. It is for reading alone.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "async/alarm.h"
#include "base/json.h"
#include "watch/history.h"
#include "watch/http_server.h"

namespace uvdo {

/// start() once, then shutdown(), which has to end before this is destroyed. On the volume's
/// thread, in turns of their own: requests of clients never wait for a browser.
class StatusPage {
 public:
  struct Sources {
    std::function<Snapshot()> look;  ///< the volume as it is now
    /// What else there is to say of it, as members of volume.json: identity, health, clients.
    std::function<Task<Json>()> describe;
  };

  /// `names`: hosts by which browsers may call it besides addresses and localhost.
  StatusPage(UringLoop& loop, Sources sources, std::vector<std::string> names);

  void start(std::vector<ListeningSocket> sockets);
  Task<void> shutdown();
  /// "http://127.0.0.1:8080/", or "unix:/run/pool.web".
  [[nodiscard]] std::vector<std::string> urls() const;
  /// Whether other machines may be able to look.
  [[nodiscard]] bool is_remote() const { return server_.is_remote(); }

  /// Bytes of memory that it takes at most: the history, and an answer for each browser.
  static constexpr std::uint64_t kMemoryBound =
      sizeof(std::array<HistorySample, History::kMost>) + 2 * sizeof(Snapshot) + sizeof(Rates) +
      HttpServer::kMostClients * (History::kMostText + HttpServer::kMostRequestBytes + 8192);

 private:
  [[nodiscard]] HttpSite site(std::vector<std::string> names);
  /// Adds to the history until the end.
  Task<void> record();
  void look();
  Task<std::string> volume_text();

  UringLoop& loop_;
  Sources sources_;
  History history_;
  Snapshot last_;
  std::optional<Rates> lately_;  // up to last_; none until there were two looks
  HttpServer server_;
  Alarm alarm_;
  TaskGroup tasks_;
  bool stopping_ = false;
};

}  // namespace uvdo
