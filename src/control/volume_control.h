// SPDX-License-Identifier: GPL-2.0-or-later
// What a served volume answers on its control socket (docs/control.md). A command is a line in the
// table of volume_control.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/log.h"
#include "block/write_through.h"
#include "control/control_protocol.h"
#include "control/device_message.h"
#include "control/growth_message.h"
#include "control/hello_message.h"
#include "control/index_message.h"
#include "control/server_messages.h"
#include "control/settings_message.h"
#include "control/statistics_message.h"
#include "control/status_message.h"
#include "control/suspension_message.h"
#include "control/trim_message.h"
#include "control/upgrade_message.h"
#include "device/storage_map.h"
#include "volume/volume.h"
#include "watch/disk_watch.h"
#include "watch/health.h"
#include "watch/volume_monitor.h"

namespace uvdo {

/// The rest of the server, as far as the control socket has to do with it.
struct ServerControl {
  std::string volume;           ///< what people call it
  std::string version;          ///< of the program
  std::string upgrade_problem;  ///< as of HelloAnswer
  std::function<void()> stop;   ///< asks the server to end; returns at once
  Log* log = nullptr;
  const VolumeMonitor* monitor = nullptr;
  /// The storages that the volume has at the moment.
  std::function<std::vector<StorageRange>()> storages = [] { return std::vector<StorageRange>(); };
  const DiskWatch* disk = nullptr;
  /// Where the status page is: URLs.
  std::function<std::vector<std::string>()> web = [] { return std::vector<std::string>(); };
  WriteThroughView* write_through = nullptr;  ///< none: it cannot be switched
  std::uint64_t logical_block_size = 512;     ///< what statistics call clients' smallest request

  // ---- the block devices of this machine that it makes of the volume
  std::function<Task<Result<AttachedDevice>>(AttachRequest)> attach;
  std::function<Task<Result<DetachAnswer>>(DetachRequest)> detach;
  std::function<DevicesAnswer()> devices;
  /// Asks the server to end so that another program goes on, if that one can.
  std::function<Task<Result<void>>(std::string program)> upgrade;
  /// Who uses one of them, in words.
  std::function<Task<std::vector<std::string>>()> device_users;
};

/// Carries out the commands, on the volume's thread. Several may be under way at once; growth,
/// suspension and changes of the index have their turn in the volume (Administration), not here.
class VolumeControl {
 public:
  VolumeControl(Executor& executor, Volume& volume, ServerControl server)
      : executor_(executor), volume_(volume), server_(std::move(server)), stopped_(executor) {}

  /// Answers a request; one with a command or parameters that do not exist is refused.
  Task<Result<Json>> handle(ControlRequest request);
  /// Lets those know who asked to stop how the volume's stop() ended.
  void stopped(const Result<void>& result);

 private:
  // ---- the commands, each answered when it is done
  friend struct ControlCommand;

  Task<Result<StatisticsAnswer>> stats(StatisticsRequest request);
  Task<Result<HelloAnswer>> hello(HelloRequest request);
  Task<Result<VolumeDescription>> info(InfoRequest request);
  Task<Result<StatusAnswer>> status(StatusRequest request);
  Task<Result<VolumeSettings>> set(SetRequest request);
  Task<Result<IndexAnswer>> index(IndexRequest request);
  Task<Result<GrowthAnswer>> grow(GrowthMessage request);
  Task<Result<TrimAnswer>> trim(TrimRequest request);
  Task<Result<SuspendAnswer>> suspend(SuspendRequest request);
  Task<Result<EmptyAnswer>> resume(ResumeRequest request);
  Task<Result<EmptyAnswer>> flush(FlushRequest request);
  Task<Result<Json>> dump(DumpRequest request);
  Task<Result<LogLevelAnswer>> log_level(LogLevelRequest request);
  Task<Result<EmptyAnswer>> stop(StopRequest request);
  Task<Result<EmptyAnswer>> upgrade(UpgradeRequest request);
  Task<Result<EmptyAnswer>> until_stopped();
  Task<Result<AttachedDevice>> attach(AttachRequest request);
  Task<Result<DetachAnswer>> detach(DetachRequest request);
  Task<Result<DevicesAnswer>> devices(DevicesRequest request);

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
