// SPDX-License-Identifier: GPL-2.0-or-later
// What a server does at SIGHUP: opens its log file anew, reads the certificates and keys of TLS
// again, and takes over what has changed in the file of --config and may change in use: log-level,
// watermarks and watermark-command. Of other changes it says that they wait for the next start.
#pragma once

#include <optional>
#include <string>

#include "base/log.h"
#include "cli/config_file.h"
#include "cli/log_file.h"
#include "cli/serve_options.h"
#include "net/renewable_tls.h"
#include "watch/volume_monitor.h"

namespace uvdo {

/// Whatever fails leaves that part as it was, and the log says so: a server does not end for a
/// mistake in a file. On the server's thread.
class ServeReload {
 public:
  /// `app` has the options of uvdo serve, and `argv` what it was called with; both outlive this.
  /// `config`: what the file of --config said at the start. The parts that this server does not
  /// have are null.
  ServeReload(const Arguments& app, int argc, char** argv, ConfigFile config, Log& log,
              LogFile* file, RenewableTls* tls);

  /// Does all of it, at a SIGHUP. Files are read on the server's thread, so that requests wait for
  /// that long.
  void run(VolumeMonitor& monitor);
  /// Says in one line what of all that this process will not be able to open then; to be called
  /// when it has given up the rights that it was started with.
  static void warn_of_closed_files(const ServeOptions& options, const Log& log);

 private:
  void open_log();
  void renew_tls();
  void read_file(VolumeMonitor& monitor);
  Result<void> take_over(const ConfigFile& now, VolumeMonitor& monitor);

  const Arguments& app_;
  int argc_;
  char** argv_;
  Log& log_;
  LogFile* file_;
  RenewableTls* tls_;
  ConfigFile before_;
};

}  // namespace uvdo
