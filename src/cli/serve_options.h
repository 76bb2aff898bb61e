// SPDX-License-Identifier: GPL-2.0-or-later
// What uvdo serve is told: its options, their limits and defaults (behaviour.md, 1 and 13.1,
// where they mean the same), and the checks of all of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "block/service_views.h"
#include "cli/command.h"
#include "cli/parameter.h"
#include "control/device_message.h"
#include "control/settings_message.h"
#include "net/tls_context.h"
#include "serve/doors.h"
#include "volume/volume.h"

namespace uvdo {

inline constexpr ParameterLimits kNoSpaceTimeout{
    ParameterLimits::Kind::count, 0, kLongestNoSpaceTimeout.count(),
    "so many seconds new writes wait for room beneath the volume before they fail"};

/// add_to() the parser, which fills the first part; check() makes the second part of it. It opens
/// nothing but takes the sockets that the service manager has handed over.
struct ServeOptions {
  // As they are written.
  std::string volume;
  std::string config;
  std::vector<std::string> nbd;
  std::string export_name;
  bool read_only = false;
  bool without_journal = false;
  bool lock_memory = false;
  std::string offset;
  std::string size;
  std::string threads = "auto";
  std::string compression = "on";
  std::string deduplication = "on";
  std::string write_through = "off";
  std::string cache = "128M";
  std::string era_length = "16380";
  std::string buffers = "64M";
  std::string minimum_io = "1";
  std::string max_requests = "2048";
  std::string max_clients = "256";
  std::string control;
  std::string user;
  std::string metrics;
  std::string web;
  bool web_remote = false;
  std::string watermarks = "80,90,95";
  std::string no_space_timeout = "60";
  std::string keep_writes = "on";
  std::string discard = "auto";
  std::string watermark_command;
  std::string hook_timeout = "60";
  std::string socket_mode = "0600";
  std::string socket_group;
  std::string log_file;
  std::string log_level = "info";
  std::string log_format = "auto";
  std::vector<std::string> attach;
  bool ublk = false;
  std::string fuse;
  std::string device_name;
  std::string mapper_name;
  bool until_detached = false;
  bool fork = false;
  bool systemd_mark = false;
  bool takes_storage_over = false;
  bool is_trial = false;
  std::string pid_file;
  TlsSettings tls;

  // What they mean; set by check().
  DoorSettings doors;
  VolumeOptions volume_options;
  std::uint32_t minimum_block = 1;
  std::uint64_t logical_block_size = 512;  ///< 512 or 4096
  std::uint32_t requests = 0;
  std::size_t clients = 0;
  std::vector<unsigned> marks;
  Duration hook_limit{};
  ServiceWindow window;
  std::optional<bool> discards;  ///< what becomes free, beneath; none: if its room is given back
  bool writes_through = false;   ///< what is answered is stable
  bool keeps_writes = false;     ///< what was answered outlives the server
  bool second_thread = false;    ///< hashing, compression and the index have a thread of their own
  LogLevel level = LogLevel::info;
  Log::Format format = Log::Format::plain;
  std::vector<std::string> arguments;  ///< the command line, for a program that follows
  bool has_followers = false;          ///< another server may go on for its clients
  bool takes_over = false;             ///< what a program before this one had in this process
  std::vector<AttachRequest> devices;  ///< of this machine, at the start

  /// Adds all options to the parser; this must outlive the parsing.
  void add_to(Arguments& app);
  /// Only those that a named volume keeps: not what it is a server of, nor how its process begins.
  void add_settings_to(Arguments& app);
  /// Everything that can be wrong with the options alone.
  Result<void> check();
  /// Behind check(): takes the sockets of a service manager. invalid_argument: there are none, and
  /// the options name no place for clients either.
  Result<void> check_place();

 private:
  Result<void> check_switches();
  Result<void> check_numbers();
  Result<void> check_access();
  Result<void> check_threads();
  Result<void> check_window_sizes();
  Result<void> check_account();
  Result<void> check_log();
  Result<void> check_doors();
  Result<void> check_web();
  Result<void> check_devices();
};

}  // namespace uvdo
