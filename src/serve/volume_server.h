// SPDX-License-Identifier: GPL-2.0-or-later
// A volume in use and all that is offered of it: front ends for its clients, the control socket,
// metrics, the status page, and the watch over its room and its disk. All of it runs on the
// volume's thread.
//
// The life of one: made; front ends are added; start(); from here on everything works; stop(),
// which ends with the volume saved.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "block/front_end.h"
#include "block/request_budget.h"
#include "block/request_times.h"
#include "block/service_views.h"
#include "block/write_through.h"
#include "control/control_server.h"
#include "control/volume_control.h"
#include "device/backing_store.h"
#include "net/descriptor_reserve.h"
#include "net/service_manager.h"
#include "serve/attachments.h"
#include "serve/device_front_ends.h"
#include "serve/doors.h"
#include "serve/kept_descriptors.h"
#include "serve/last_users.h"
#include "serve/next_server.h"
#include "serve/status_page.h"
#include "volume/volume.h"
#include "watch/disk_watch.h"
#include "watch/http_server.h"
#include "watch/volume_monitor.h"

namespace uvdo {

class VolumeServer {
 public:
  struct Settings {
    std::string volume;                              ///< its path, and what people call it
    std::string version;                             ///< of the program, for the metrics
    std::optional<ServiceWindow> window;             ///< the part that clients see; none: all of it
    bool read_only = false;                          ///< clients may only read
    bool write_through = false;                      ///< what is answered is stable (may change)
    std::uint32_t requests = RequestBudget::kUsual;  ///< of all front ends, in flight
    std::uint64_t logical_block_size = 512;  ///< what statistics call clients' smallest request
    std::vector<unsigned> marks;             ///< percents of the room for data
    Hook::Settings hook;                     ///< run when a mark is passed
    std::uint64_t memory_bytes = 0;          ///< that all of it takes at most
    bool lock_memory = false;                ///< keep that from being paged out
    /// Whether it may make and remove the second name of its control socket when that is needed.
    bool may_link = true;
    std::function<void()> stop = [] {};  ///< somebody asks the server to end; returns at once
    /// Of another program that is to go on in the place of this one: `check` finds out whether it
    /// can, in a thread, and `become` asks the server to end for it. None: no other can.
    struct Upgrade {
      std::function<Result<void>(const std::string& program)> check{};
      std::function<void(const std::string& program, NextServer next)> become{};
      bool may_move = false;  ///< nobody minds if it is another process that goes on
      std::string problem{};  ///< why one did not go on, so that this one does again
    };
    Upgrade upgrade{};
    /// What of this server outlives it; none: nothing does.
    KeptDescriptors* kept = nullptr;
    /// Whether the volume may lack what a server before this one has answered.
    bool may_miss_writes = false;
    /// How devices of this machine are made; none: as make_device_front_end() does.
    Attachments::Maker make_device{};
    /// Who is waited for when the machine goes down.
    LastUsers::Settings last_users = LastUsers::of_this_machine();
    std::vector<AttachRequest> devices{};  ///< to be made at the start
    bool ends_with_devices = false;        ///< when the last has been taken away
  };

  /// `device` is the volume's. All must outlive this.
  VolumeServer(UringLoop& loop, BackingStore& device, Volume& volume, Settings settings, Log& log);
  VolumeServer(const VolumeServer&) = delete;
  VolumeServer& operator=(const VolumeServer&) = delete;

  // ---- what front ends are made with
  /// The volume as its clients see it.
  [[nodiscard]] BlockService& service() { return view_.service(); }
  /// Slots for requests, times of requests and spare descriptors: one of each for all front ends.
  [[nodiscard]] RequestBudget& requests() { return requests_; }
  [[nodiscard]] RequestTimes& times() { return times_; }
  [[nodiscard]] DescriptorReserve& reserve() { return reserve_; }
  /// Before start().
  void add(std::unique_ptr<FrontEnd> front_end) { front_ends_.push_back(std::move(front_end)); }

  /// Opens to clients of every kind, and says so. After an error nothing of it runs; the volume
  /// is still to be stopped.
  Task<Result<void>> start(Doors doors);
  /// Lets nobody in any more, ends all that is under way, and stops the volume. `why`: what asked
  /// for it, if that is worth a word. An error if not everything has been saved.
  Task<Result<void>> stop(const std::string& why);

  [[nodiscard]] VolumeMonitor& monitor() { return monitor_; }
  /// Of all front ends.
  [[nodiscard]] std::size_t clients() const;

 private:
  [[nodiscard]] VolumeMonitor::Settings monitor_settings();
  [[nodiscard]] ServerControl server_control();
  [[nodiscard]] LogFunction log_function();

  /// Starts them in order, up to the first error; stop_front_ends() ends those that were started,
  /// the last one first.
  Task<Result<void>> start_front_ends();
  Task<void> stop_front_ends();
  /// Takes over the devices of the server before this one, and makes those that are wanted.
  Task<Result<void>> start_devices();
  [[nodiscard]] DeviceSurroundings surroundings();
  [[nodiscard]] Attachments::Settings device_settings();
  /// Says where the volume is to be had, in the log and to the service manager.
  void announce() const;
  void warn_of_strangers() const;

  [[nodiscard]] HttpSite metrics_site();
  [[nodiscard]] StatusPage::Sources page_sources();
  /// What the status page has of the control socket's commands.
  Task<Json> describe();
  /// Ends what is given by HTTP.
  Task<void> stop_watchers();

  // ---- the control socket's commands
  Task<Result<Json>> carry_out(ControlRequest request);
  Task<void> take_back(std::string command);
  Task<Result<void>> upgrade(std::string program);
  Task<Result<AttachedDevice>> attach(AttachRequest request);
  Task<Result<DetachAnswer>> detach(DetachRequest request);
  [[nodiscard]] DevicesAnswer devices() const;
  /// Has the server end if that was asked for and no device is left; whether it does.
  bool end_with_devices();
  Task<void> end_unused_devices();
  /// Tells the service manager that all goes on, as often as it wants to hear it.
  void show_life();
  /// Looks at the disk beneath, as is to be done every second.
  void look_beneath();
  /// Keeps the second name of the control socket while the first does not lead to it.
  void keep_link();
  void tell_of_growth();

  UringLoop& loop_;
  BackingStore& device_;
  Volume& volume_;
  Settings settings_;
  Log& log_;

  RequestTimes times_;
  RequestBudget requests_;
  DescriptorReserve reserve_;
  WriteThroughView write_through_;
  ClientView view_;
  std::uint64_t told_size_;  // of the service, to the front ends
  std::string control_path_;
  std::unique_ptr<ControlLink> control_link_;  // from start() on
  std::vector<std::unique_ptr<FrontEnd>> front_ends_;
  std::size_t started_ = 0;             // of the front ends
  std::optional<Attachments> devices_;  // from start() on
  Event are_restored_;                  // those of the server before, or there is no hope
  Attachments::End devices_end_ = Attachments::End::wait;
  DiskWatch disk_;
  VolumeMonitor monitor_;
  VolumeControl control_;
  ControlServer control_server_;
  HttpServer metrics_server_;
  std::optional<StatusPage> page_;  // from start() on, if it is wanted
  TaskGroup watching_;
  ServiceManager manager_;
  std::optional<Duration> life_period_;  // between two signs of life; none: nobody waits for them
  TimePoint next_life_{};
};

}  // namespace uvdo
