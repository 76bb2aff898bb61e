// SPDX-License-Identifier: GPL-2.0-or-later
// A volume as a block device of the kernel where it has no better driver for that: a FUSE mount in
// a folder that nobody else looks into, and a loop device on its file. For root alone.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "block/front_end.h"
#include "fuse/fuse_server.h"
#include "fuse/loop_device.h"

namespace uvdo {

class FuseBlockDevice final : public FrontEnd {
 public:
  struct Settings {
    /// Of this device alone, best on a file system in memory: "/run/uvdo/devices/NAME". Made if
    /// missing, and removed at the end.
    std::string folder;
    std::string file = "volume";      ///< the file's name, which losetup shows
    std::uint32_t block_size = 4096;  ///< of the device: 512 or 4096 bytes
    std::uint64_t read_memory = FuseSession::kLeastForReads;  ///< bytes for the data of reads
    RequestTimes* times = nullptr;
    /// Told what people may want to know, a sentence each.
    std::function<void(const std::string&)> log{};
    FuseKeeper keeper{};             ///< as of FuseServer
    bool first_flush_fails = false;  ///< the same
    /// Called when somebody else has unmounted the folder: the device gives errors from then on.
    std::function<void()> on_unmounted{};
  };

  /// `service` and `budget` must outlive it.
  FuseBlockDevice(UringLoop& loop, BlockService& service, RequestBudget& budget, Settings settings);
  ~FuseBlockDevice() override;

  /// Removes what a killed server has left: loop devices on the file, which go with their last
  /// users, the mount and the folder. Blocks. busy if a server that lives has the folder. start()
  /// does it too.
  [[nodiscard]] static Result<void> remove_remains(const std::string& folder,
                                                   const std::string& file);

  /// Goes on with mount and device of a server that has ended. `device`: the path of that loop
  /// device; empty: whatever is on the file. Before start().
  void adopt(FuseServer::Handover handover, std::string device = {});

  [[nodiscard]] std::string_view kind() const override { return "block device"; }
  /// "/dev/loop7", while it is there.
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override;
  /// 1 while the device is there: the kernel.
  [[nodiscard]] std::size_t clients() const override { return device_ ? 1 : 0; }

  Task<Result<void>> start() override;
  /// The device becomes as large as the volume, a little later.
  void size_changed() override;
  /// Takes the device away if nobody uses it; busy if somebody does, and it stays in use then.
  /// shutdown() has to be called all the same.
  Task<Result<void>> detach();
  /// Who still uses the device gets errors from then on; it goes with its last user.
  Task<void> shutdown() override;
  [[nodiscard]] bool can_leave() const override { return device_ && server_.can_leave(); }
  Task<Result<void>> leave() override;

  /// As of FuseServer; the device stays, and its users see a pause.
  [[nodiscard]] FuseHandover handover() const { return server_.handover(); }
  [[nodiscard]] int descriptor() const { return server_.descriptor(); }
  Task<FuseServer::Handover> hand_over();

 private:
  Task<Result<void>> attach();
  Task<void> update_size();
  void log(const std::string& message) const {
    if (settings_.log) settings_.log(message);
  }

  UringLoop& loop_;
  BlockService& service_;
  Settings settings_;
  FuseServer server_;
  std::optional<LoopDevice> device_;
  TaskGroup updates_;
  bool is_size_new_ = false;  ///< since the update under way began
  bool is_adopted_ = false;
  std::string adopted_device_;
};

}  // namespace uvdo
