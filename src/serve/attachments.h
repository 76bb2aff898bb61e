// SPDX-License-Identifier: GPL-2.0-or-later
// The block devices of this machine that a server makes of its volume: each a front end with a view
// of its own, a name, and a link in /dev/uvdo where this process may make one.
//
// What holds here: a device that attach() has answered with exists until it is detached or the
// server stops, and stands in the state file for as long; so a server that follows one that was
// killed or has left goes on with the same devices (restore()). Attaching and detaching take turns.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "async/wait_queue.h"
#include "base/log.h"
#include "block/front_end.h"
#include "block/service_views.h"
#include "control/attachment_state.h"
#include "control/device_message.h"
#include "serve/next_server.h"
#include "serve/udev_names.h"

namespace uvdo {

class Attachments {
 public:
  /// What a front end is to be made for.
  struct Order {
    AttachedDevice
        device;        ///< as it is wanted; its path is that of the device to take over, if any
    std::string at{};  ///< AttachRequest::at
    BlockService* service = nullptr;
    bool take_over = false;  ///< a server before this one has made it
  };
  /// Makes the front end of a device; it is started afterwards. unsupported: not on this machine.
  using Maker = std::function<Result<std::unique_ptr<FrontEnd>>(const Order& order)>;
  /// Finds out who uses what is at a path, in words (DeviceUsers::of()). That may take long.
  using UsersOf = std::function<Task<std::vector<std::string>>(std::string path)>;

  struct Settings {
    std::string volume;      ///< what people call it; devices without a name are named after it
    std::string volume_id;   ///< its UUID: the state of another volume is not restored
    std::string state_file;  ///< a path in a folder of this user; empty: nothing is kept
    std::string link_folder = "/dev/uvdo";
    std::string udev_folder{};                  ///< of UdevNames; empty: udev is not told
    std::string mapper_folder = "/dev/mapper";  ///< for links of those who ask for one there
    bool read_only = false;                     ///< all are
    Maker make = {};                            ///< none: no devices can be made
    UsersOf users_of = {};
  };

  /// `service`: the whole logical space. It must outlive this.
  Attachments(Executor& executor, BlockService& service, Settings settings, LogFunction log)
      : service_(service),
        settings_(std::move(settings)),
        log_(std::move(log)),
        state_(settings_.state_file, settings_.volume_id),
        udev_names_(settings_.udev_folder),
        turn_(executor, 1) {}

  /// Makes the devices again that the state file tells of, and takes over those that still exist.
  /// One that cannot be had is said in the log and forgotten.
  Task<void> restore();
  /// Makes a device, which can be used when this returns; one that is there already with that name
  /// and is of no other kind or part is given again. invalid_argument: the name, the window; busy:
  /// the name is taken; unsupported: not that kind on this machine.
  Task<Result<AttachedDevice>> attach(AttachRequest request);
  /// Takes a device away, by its name, path or link; false: it goes later. busy: somebody uses it,
  /// and by `mode` it stays then.
  Task<Result<bool>> detach(std::string which, DetachMode mode);
  /// Whether one is to go when nobody uses it any more.
  [[nodiscard]] bool has_leaving() const;
  /// Takes those away that are to go and that nobody uses any more.
  Task<void> end_unused();
  /// What becomes of devices that are in use when the server stops.
  enum class End : std::uint8_t {
    wait,      ///< those of a kind that can wait do so for the next server; the others go
    for_good,  ///< whoever uses them gets errors
    all_wait,  ///< another server follows at once: also those that nobody uses
  };
  /// The devices that cannot wait for a server that follows there, in words; empty if all can.
  [[nodiscard]] std::string those_that_cannot_wait(NextServer next) const;
  /// Takes all away that nobody uses, and the rest as `how` says. No more attach().
  Task<void> stop(End how);

  [[nodiscard]] std::vector<AttachedDevice> list() const;
  [[nodiscard]] std::vector<std::string> paths() const;
  [[nodiscard]] bool is_empty() const { return all_.empty(); }
  [[nodiscard]] std::size_t clients() const;
  /// Who uses one of the devices, in words; empty if nobody does.
  Task<std::vector<std::string>> users();
  /// The volume has grown.
  void size_changed();

 private:
  struct Attachment {
    Attachment(BlockService& service, AttachedDevice what);
    AttachedDevice device;
    ClientView view;
    std::uint64_t told_size;
    std::unique_ptr<FrontEnd> front_end;
    bool is_leaving = false;  ///< it goes when nobody uses it any more
  };
  Task<Result<AttachedDevice>> make(AttachedDevice device, std::string at, bool take_over);
  /// Of the first kind that this machine has.
  Task<Result<AttachedDevice>> make_of_any_kind(AttachedDevice device, std::string at);
  /// Makes the link to a device that was just made; the path of the link, or empty.
  [[nodiscard]] std::string make_link(const AttachedDevice& device) const;
  void tell_udev(const AttachedDevice& device) const;
  /// The same for the link in /dev/mapper that `device` asks for. Another thing that has its name
  /// keeps it.
  [[nodiscard]] std::string make_mapper_link(const AttachedDevice& device) const;
  [[nodiscard]] std::string put_link(const std::string& link, const std::string& path) const;
  [[nodiscard]] Result<void> check_link_is_free(const std::string& name) const;
  /// Takes a device away, or leaves it waiting.
  Task<void> end(std::list<Attachment>::iterator attachment, bool for_good);
  void save(const std::vector<AttachedDevice>& devices) const;

  BlockService& service_;
  Settings settings_;
  LogFunction log_;
  AttachmentState state_;
  UdevNames udev_names_;
  Semaphore turn_;  // one at a time
  bool is_stopping_ = false;
  std::list<Attachment> all_;
};

/// What a device of the volume at `path` is called by default: the file's name without its ending,
/// of letters, digits and ".-_+" only.
[[nodiscard]] std::string device_name_of(const std::string& path);
/// invalid_argument unless `name` can be a name in a folder: 1 to 64 letters, digits or ".-_+", the
/// first neither "." nor "-".
Result<void> check_device_name(const std::string& name);

}  // namespace uvdo
