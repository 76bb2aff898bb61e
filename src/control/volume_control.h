// SPDX-License-Identifier: GPL-2.0-or-later
// What a served volume answers on its control socket (docs/control.md). A command is a line in the
// table of volume_control.cpp.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/log.h"
#include "control/control_server.h"
#include "device/storage_map.h"
#include "volume/volume.h"
#include "watch/disk_watch.h"
#include "watch/health.h"
#include "watch/volume_monitor.h"

namespace uvdo {

/// What `no-space-timeout` may be set to at most.
inline constexpr std::chrono::seconds kLongestNoSpaceTimeout{86400};

/// The rest of the server, as far as the control socket has to do with it.
struct ServerControl {
  std::string volume;          ///< what people call it
  std::function<void()> stop;  ///< asks the server to end; returns at once
  Log* log = nullptr;
  const VolumeMonitor* monitor = nullptr;
  /// The storages that the volume has at the moment.
  std::function<std::vector<StorageRange>()> storages = [] { return std::vector<StorageRange>(); };
  const DiskWatch* disk = nullptr;
  std::uint64_t logical_block_size = 512;  ///< what statistics call clients' smallest request
};

class VolumeControl {
 public:
  VolumeControl(Executor& executor, Volume& volume, ServerControl server)
      : executor_(executor), volume_(volume), server_(std::move(server)), stopped_(executor) {}

  /// Answers a request; one with a command or parameters that do not exist is refused.
  Task<Result<Json>> handle(std::string command, Json request);
  /// Lets those know who asked to stop how the volume's stop() ended.
  void stopped(const Result<void>& result);

 private:
  friend struct ControlCommand;

  Task<Result<Json>> stats(const Json& request);
  Task<Result<Json>> hello(const Json& request);
  Task<Result<Json>> info(const Json& request);
  Task<Result<Json>> status(const Json& request);
  Task<Result<Json>> set(const Json& request);
  Task<Result<Json>> index(const Json& request);
  Task<Result<Json>> grow(const Json& request);
  Task<Result<Json>> suspend(const Json& request);
  Task<Result<Json>> resume(const Json& request);
  Task<Result<Json>> flush(const Json& request);
  Task<Result<Json>> dump(const Json& request);
  Task<Result<Json>> log_level(const Json& request);
  Task<Result<Json>> stop(const Json& request);

  /// An error while the volume is suspended: what would reach its device has to wait.
  [[nodiscard]] Result<void> check_in_use() const;
  [[nodiscard]] HealthFacts facts() const;
  [[nodiscard]] std::string index_state() const;

  Executor& executor_;
  Volume& volume_;
  ServerControl server_;
  Event stopped_;
  Result<void> stop_result_;
};

}  // namespace uvdo
