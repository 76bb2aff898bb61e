// SPDX-License-Identifier: GPL-2.0-or-later
// A volume as one file in a FUSE mount: the front end for who has no driver for block devices, or
// is not root. The mount, the session that serves it, and an orderly end of both.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "block/front_end.h"
#include "fuse/fuse_mount.h"
#include "fuse/fuse_session.h"

namespace uvdo {

/// Somebody who holds the descriptor of a mount, so that the mount outlives its server.
struct FuseKeeper {
  std::function<Result<void>(int descriptor)> keep{};  ///< holds a copy, until forget()
  std::function<void()> forget{};
};

class FuseServer final : public FrontEnd {
 public:
  struct Settings {
    std::string folder;  ///< where it is mounted: an empty folder
    /// The folder is made if it is missing, with those above it; shutdown() removes it then.
    bool makes_folder = false;
    /// What a killed server has left mounted there is taken off first; nobody keeps its descriptor.
    bool replaces_remains = false;
    std::string file = "volume";  ///< the file's name
    FuseOwner owner{geteuid(), getegid()};
    mode_t mode = 0600;  ///< of the file; without its bits for writing if the volume is read-only
    /// Others than the one who mounts may use it, as far as `mode` lets them.
    bool allow_other = false;
    std::uint64_t read_memory = FuseSession::kLeastForReads;  ///< bytes for the data of reads
    RequestTimes* times = nullptr;
    /// Told what people may want to know, a sentence each.
    std::function<void(const std::string&)> log{};
    FuseKeeper keeper{};  ///< none: the mount ends with this process
    /// The volume may lack what a server before this one has answered: the first to ask for a flush
    /// of a mount that was adopted is told so, by EIO.
    bool first_flush_fails = false;
    /// Called when somebody else has unmounted it: nobody can use it any more.
    std::function<void()> on_unmounted{};
  };

  /// A mount on its way from one server to the next, which goes on with it: nobody who uses the
  /// file sees more than a pause.
  struct Handover {
    FileDescriptor descriptor;
    FuseHandover state;
  };

  /// `service` and `budget` must outlive the server.
  FuseServer(UringLoop& loop, BlockService& service, RequestBudget& budget, Settings settings);
  ~FuseServer() override;

  /// Goes on with the mount on `folder` of a server that has ended. Before start(), which is an
  /// error where the kernel cannot ask again for what was left unanswered (before Linux 6.9).
  void adopt(Handover handover) { handover_ = std::move(handover); }

  [[nodiscard]] std::string_view kind() const override { return "FUSE"; }
  /// The file's path.
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override;
  /// How often the file is open.
  [[nodiscard]] std::size_t clients() const override { return session_.open_files(); }

  /// Mounts, and returns when the kernel has greeted. Errors name what is missing and what to do.
  Task<Result<void>> start() override;
  /// The kernel asks for the size anew.
  void size_changed() override { session_.size_changed(); }
  /// Unmounts, lazily where files are still open, finishes what is under way and refuses the rest;
  /// who has the file open gets errors from then on.
  Task<void> shutdown() override;
  [[nodiscard]] bool can_leave() const override { return is_kept_ && session_.is_serving(); }
  Task<Result<void>> leave() override;

  /// The file's path, without links; once start() has succeeded.
  [[nodiscard]] std::string file() const;
  /// What the next server needs beside a copy of the descriptor; once start() has succeeded.
  [[nodiscard]] FuseHandover handover() const { return session_.handover(); }
  /// Of /dev/fuse, to be copied and kept for the next server; -1 if it is not mounted.
  [[nodiscard]] int descriptor() const { return session_.descriptor(); }
  /// In the place of shutdown(): finishes what is under way, leaves the mount, and gives it away.
  Task<Handover> hand_over();

 private:
  Task<Result<void>> mount();
  Task<void> watch();
  Task<void> compare_size();
  void keep();
  void forget();
  void log(const std::string& message) const {
    if (settings_.log) settings_.log(message);
  }

  UringLoop& loop_;
  BlockService& service_;
  Settings settings_;
  FuseSession session_;
  std::optional<Handover> handover_;  ///< until start()
  std::optional<FuseMount> mount_;    ///< from start() to shutdown()
  TaskGroup watching_;
  bool is_stopping_ = false;
  bool is_kept_ = false;
};

}  // namespace uvdo
