// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/serve_reload.h"

#include <algorithm>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/journal_stream.h"

namespace uvdo {
namespace {

constexpr std::string_view kLevel = "log-level";
constexpr std::string_view kMarks = "watermarks";
constexpr std::string_view kCommand = "watermark-command";

/// All that the file says of an option, in one text; nothing if it does not name it.
std::optional<std::string> value_in(const ConfigFile& config, std::string_view name) {
  std::optional<std::string> value;
  for (const std::string& argument : config.arguments) {
    const std::string_view text = std::string_view(argument).substr(2);
    if (text.substr(0, text.find('=')) != name) continue;
    const std::size_t equals = text.find('=');
    const std::string_view part = equals == std::string_view::npos ? "" : text.substr(equals + 1);
    value = value ? fmt::format("{} {}", *value, part) : std::string(part);
  }
  return value;
}

/// The options that differ, as they are called in the file.
std::set<std::string> differences(const ConfigFile& before, const ConfigFile& now) {
  std::set<std::string> names;
  // Both ways: an option that is gone from the file has changed, too, to its default.
  for (const ConfigFile* config : {&before, &now}) {
    for (const std::string& argument : config->arguments) {
      const std::string name = argument.substr(2, argument.find('=') - 2);
      if (value_in(before, name) != value_in(now, name)) names.insert(name);
    }
  }
  if (before.volume != now.volume) names.insert("volume");
  return names;
}

}  // namespace

ServeReload::ServeReload(const Arguments& app, int argc, char** argv, ConfigFile config, Log& log,
                         LogFile* file, RenewableTls* tls)
    : app_(app),
      argc_(argc),
      argv_(argv),
      log_(log),
      file_(file),
      tls_(tls),
      before_(std::move(config)) {}

void ServeReload::run(VolumeMonitor& monitor) {
  // First, so that all that follows stands in the new file.
  open_log();
  log_.write({LogLevel::notice, "SIGHUP: reading again what may change"});
  renew_tls();
  read_file(monitor);
}

void ServeReload::warn_of_closed_files(const ServeOptions& options, const Log& log) {
  std::vector<std::string> closed;
  const auto look = [&closed](const std::string& path, int mode) {
    if (path.empty() || faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0) return;
    closed.push_back(path);
  };
  if (options.log_file != kJournal) look(options.log_file, W_OK);
  look(options.config, R_OK);
  const TlsSettings& tls = options.tls;
  for (const std::string& path : {tls.certificate, tls.key, tls.authority, tls.revoked, tls.psk}) {
    look(path, R_OK);
  }
  if (closed.empty()) return;
  log.write({LogLevel::warning,
             fmt::format("at SIGHUP the user {} will not be able to open {}: what was read from it "
                         "at the start goes on to count",
                         options.doors.account->name(), fmt::join(closed, ", "))});
}

void ServeReload::open_log() {
  if (file_ == nullptr) return;
  auto opened = file_->reopen();
  if (!opened) log_.write({LogLevel::error, "--log-file: " + opened.error().message()});
}

void ServeReload::renew_tls() {
  if (tls_ == nullptr) return;
  auto renewed = tls_->renew();
  if (renewed) return log_.write("TLS: new clients get the certificates and keys read just now");
  log_.write({LogLevel::error, fmt::format("TLS goes on with the certificates and keys that it "
                                           "has: {}",
                                           renewed.error().message())});
}

void ServeReload::read_file(VolumeMonitor& monitor) {
  auto now = read_config(app_, "serve", argc_, argv_);
  Result<void> done = now ? take_over(*now, monitor) : Result<void>(now.error().clone());
  if (!done) {
    log_.write(
        {LogLevel::error, fmt::format("all options stay as they are: {}", done.error().message())});
    return;
  }
  before_ = std::move(*now);
}

Result<void> ServeReload::take_over(const ConfigFile& now, VolumeMonitor& monitor) {
  // Both values are read before the first change: after an error none of them counts.
  const std::set<std::string> changed = differences(before_, now);
  const ServeOptions defaults;
  auto level = parse_log_level(value_in(now, kLevel).value_or(defaults.log_level));
  if (!level) return level.error().within(now.path);
  auto marks = parse_watermarks(value_in(now, kMarks).value_or(defaults.watermarks));
  if (!marks) return marks.error().within(now.path);
  // Three options may change in use; of the others it is said that they do not.
  for (const std::string& name : changed) {
    if (name == kLevel) {
      log_.set_level(*level);
    } else if (name == kMarks) {
      monitor.set_marks(*marks);
    } else if (name == kCommand) {
      monitor.set_command(value_in(now, kCommand).value_or(""));
    } else {
      log_.write({LogLevel::warning,
                  fmt::format("{} has changed in {}: that counts from the next start on", name,
                              now.path)});
      continue;
    }
    log_.write({LogLevel::notice,
                fmt::format("{} has changed in {}, and counts from now on", name, now.path)});
  }
  return {};
}

}  // namespace uvdo
