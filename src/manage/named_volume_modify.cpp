// SPDX-License-Identifier: GPL-2.0-or-later
// Changing the settings of a named volume, in its file and in its server.
#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <fstream>
#include <sstream>

#include <fmt/core.h>

#include "control/hello_message.h"
#include "control/server_messages.h"
#include "control/settings_message.h"
#include "manage/named_server.h"
#include "manage/named_volume.h"
#include "registry/find_storage.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

constexpr std::string_view kLogLevel = "log-level";
constexpr std::string_view kDefaultLogLevel = "info";
/// What a server takes from its file when it is told to read it again.
constexpr std::array<std::string_view, 2> kReadAgain{"watermarks", "watermark-command"};

void change(OptionTable& table, const std::vector<SettingChange>& changes,
            std::vector<std::string>& changed) {
  for (const SettingChange& each : changes) {
    const OptionValue* before = table.find(each.key);
    if (each.value) {
      if (before != nullptr && *before == *each.value) continue;
      table.set(each.key, *each.value);
    } else if (!table.erase(each.key)) {
      continue;
    }
    changed.push_back(each.key);
  }
}

bool is_on(const OptionTable& table, std::string_view key) {
  return table.text(key).value_or("on") == "on";
}

/// The request for those settings that the server can take by one; nothing if there is none.
std::optional<SetRequest> set_request(const OptionTable& table,
                                      const std::vector<std::string>& changed) {
  SetRequest request;
  bool has_any = false;
  for (const std::string& key : changed) {
    if (key == SetRequest::kCompression) {
      request.compression = is_on(table, key);
    } else if (key == SetRequest::kDeduplication) {
      request.deduplication = is_on(table, key);
    } else if (key == SetRequest::kWriteThrough) {
      request.write_through = table.text(key).value_or("off") == "on";
    } else if (key == SetRequest::kNoSpaceTimeout) {
      const std::string text = table.text(key).value_or("");
      std::int64_t seconds = 0;
      const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
      request.no_space_timeout =
          read.ec == std::errc()
              ? std::chrono::seconds(seconds)
              : std::chrono::duration_cast<std::chrono::seconds>(VolumeOptions().no_space_timeout);
    } else {
      continue;
    }
    has_any = true;
  }
  if (!has_any) return std::nullopt;
  return request;
}

/// Whether the server was started with this file, by its path or by the volume's name.
bool reads_file(const Registry& registry, const std::string& name, std::uint64_t pid) {
  std::ostringstream text;
  text << std::ifstream(fmt::format("/proc/{}/cmdline", pid)).rdbuf();
  std::istringstream words(text.str());
  std::string word;
  const std::string path = registry.path_of(name);
  while (std::getline(words, word, '\0')) {
    if (word == name || word == path || word == "--config=" + path) return true;
  }
  return false;
}

/// Has the running server take what it can; the rest is for its next start.
void apply(const Registry& registry, ModifyReport& report) {
  auto server = server_of(report.volume);
  // Nobody serves it: all of it counts from the next start on anyway.
  if (!server && server.error().code() == Errc::not_found) return;
  const ServedVolume served = server ? std::move(*server) : ServedVolume{};
  auto hello = server ? served.ask(HelloRequest()) : std::move(server).error();
  if (!hello) {
    report.not_set = std::move(hello).error();
    report.at_next_start = report.changed;
    return;
  }
  const OptionTable& table = report.volume.serve;
  std::vector<std::string>& taken = report.at_once;
  const auto has_changed = [&](std::string_view key) {
    return std::ranges::find(report.changed, key) != report.changed.end();
  };
  if (const auto request = set_request(table, report.changed)) {
    auto set = served.ask(*request);
    if (!set) report.not_set = std::move(set).error();
    if (request->compression && set) taken.emplace_back(SetRequest::kCompression);
    if (request->deduplication && set) taken.emplace_back(SetRequest::kDeduplication);
    if (request->write_through && set) taken.emplace_back(SetRequest::kWriteThrough);
    if (request->no_space_timeout && set) taken.emplace_back(SetRequest::kNoSpaceTimeout);
  }
  if (has_changed(kLogLevel)) {
    const std::string level = table.text(kLogLevel).value_or(std::string(kDefaultLogLevel));
    auto set = served.ask(LogLevelRequest{level});
    if (set) taken.emplace_back(kLogLevel);
    if (!set) report.not_set = std::move(set).error();
  }
  const bool is_read_again = std::ranges::any_of(kReadAgain, has_changed);
  if (is_read_again && reads_file(registry, report.volume.name, hello->pid) &&
      kill(static_cast<pid_t>(hello->pid), SIGHUP) == 0) {
    for (const std::string_view key : kReadAgain) {
      if (has_changed(key)) taken.emplace_back(key);
    }
  }
  for (const std::string& key : report.changed) {
    if (std::ranges::find(taken, key) == taken.end()) report.at_next_start.push_back(key);
  }
}

}  // namespace

Result<ModifyReport> modify_named_volume(const Registry& registry, const std::string& name,
                                         const ModifyOptions& options) {
  ModifyReport report;
  {
    auto lock = registry.lock();
    if (!lock) return std::move(lock).error();
    auto volume = registry.find(name);
    if (!volume) return std::move(volume).error();
    report.volume = std::move(*volume);
    if (options.storage) {
      auto uuid = uuid_at(*options.storage);
      if (!uuid) return std::move(uuid).error();
      if (*uuid != report.volume.uuid) {
        return Error(Errc::invalid_argument,
                     fmt::format("{} holds another volume, with the UUID {}", *options.storage,
                                 to_text(*uuid)));
      }
      report.volume.storage = lasting_path(*options.storage);
    }
    change(report.volume.serve, options.serve, report.changed);
    std::vector<std::string> kept;  // of [vdo], which no server reads
    change(report.volume.vdo, options.vdo, kept);
    if (auto allowed = options.check(report.volume); !allowed) return std::move(allowed).error();
    if (auto done = registry.replace(report.volume, *lock); !done) return std::move(done).error();
  }
  apply(registry, report);
  return report;
}

}  // namespace uvdo
