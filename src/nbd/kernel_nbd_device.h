// SPDX-License-Identifier: GPL-2.0-or-later
// A volume as /dev/nbdN, a front end: the kernel's NBD client over a pair of unix sockets, whose
// other end an NbdConnection serves. The device outlives its server: when the socket closes,
// requests wait, and the next server of the same volume takes it over and gets them.
//
// There is one socket, always. With several the driver takes a request that is not answered in
// time for lost, closes its socket and sends the request once more by another, while the first may
// still be carried out: behind whatever was written by then
// (docs/decisions/012-volumes-as-kernel-nbd-devices.md).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/uring_loop.h"
#include "block/front_end.h"
#include "nbd/kernel_client.h"
#include "nbd/kernel_nbd_folder.h"
#include "nbd/nbd_connection.h"
#include "net/log_throttle.h"

namespace uvdo {

class KernelNbdDevice final : public FrontEnd {
 public:
  /// How the kernel is reached; others in tests.
  struct Kernel {
    std::function<Result<KernelNbdClient>()> open = KernelNbdClient::open;
    KernelNbdFolder folder{};
    /// Whether threads that wait for the driver keep their share of all descriptors.
    bool shares_descriptors = false;
  };
  struct Settings {
    /// Whose device it is: the volume's UUID, and what tells several devices of one volume apart. A
    /// device with it that waits for its server is taken over. One line, not empty.
    std::string identifier;
    /// N of /dev/nbdN (parse_kernel_nbd_name()); none: one that is free.
    std::optional<std::uint32_t> index;
    std::uint32_t block_size = 4096;  ///< of the device: 512 or 4096 bytes
    /// The first flush fails with EIO: who uses the device may miss writes that a server before
    /// this one has answered.
    bool first_flush_fails = false;
    /// How long requests wait for the next server; then they fail.
    std::chrono::seconds dead_limit{600};
    /// After how long at most requests that a server has left unanswered go to the next. The kernel
    /// logs a line about each that takes longer ("Possible stuck request"), and waits on.
    std::chrono::milliseconds resend_interval{5000};
    /// How long start() waits for a predecessor to let go of the device.
    Duration take_over_limit = std::chrono::seconds(10);
    /// How long leave() and shutdown() wait for requests under way.
    Duration drain_limit = std::chrono::seconds(5);
    std::uint64_t read_memory = NbdServerMemory::kLeastForReads;  ///< bytes for the data of reads
    /// Where the times of requests are noted; must outlive the device.
    RequestTimes* times = nullptr;
    /// Told what people may want to know, a sentence each.
    std::function<void(const std::string&)> log{};
    /// Called when somebody else has disconnected the device: it gives errors from then on.
    std::function<void()> on_disconnected{};
    Kernel kernel{};
  };

  /// `service`, which is offered read-only if it is so at start(), and `budget` must outlive this.
  KernelNbdDevice(UringLoop& loop, BlockService& service, RequestBudget& budget, Settings settings);
  ~KernelNbdDevice() override;

  [[nodiscard]] std::string_view kind() const override { return "kernel NBD"; }
  /// The device's path, once it has been started.
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override;
  /// 1 while the kernel is connected.
  [[nodiscard]] std::size_t clients() const override { return link_ != nullptr ? 1 : 0; }
  /// N of /dev/nbdN, once it has been started.
  [[nodiscard]] std::optional<std::uint32_t> index() const { return index_; }
  /// Whether start() has found the device of a predecessor.
  [[nodiscard]] bool has_taken_over() const { return has_taken_over_; }

  /// Makes the device, or takes over the one of `identifier`; it is there with its size when this
  /// returns. not_found: the driver is not loaded; busy: somebody else has the device that was
  /// asked for; invalid_argument: not root, or a size that no device of these blocks has.
  Task<Result<void>> start() override;
  /// The device gets the service's size, also while it is mounted, when what is under way has
  /// ended.
  void size_changed() override;
  /// Finishes what is under way, refuses the rest and ends the device, whoever uses it (DeviceUsers
  /// tells): nothing of it is left.
  Task<void> shutdown() override;
  [[nodiscard]] bool can_leave() const override { return true; }
  /// Instead of shutdown(), where another server will follow: the device stays, and its requests
  /// wait for `dead_limit`. What is under way is finished, within limits; the rest, and whatever is
  /// not answered, is asked of the next.
  Task<Result<void>> leave() override;

  /// Bytes of memory that a device takes at most, for `requests` in flight.
  [[nodiscard]] static std::uint64_t memory_bound(const Settings& settings, std::uint32_t requests);

 private:
  enum class State : std::uint8_t {
    off,       ///< not started, or ended
    starting,  ///< until start() returns
    on,        ///< connected, or about to be so again
    lost,      ///< somebody else has disconnected the device
    ending,    ///< until shutdown() or leave() returns
  };
  struct Link;
  struct Ends;

  [[nodiscard]] Result<void> check_settings() const;
  Task<Result<std::optional<std::uint32_t>>> find();
  Task<Result<void>> make();
  Task<Result<void>> take_over(std::uint32_t index);
  Task<void> settle();
  /// Serves the server's end of a pair until it closes.
  Task<void> serve(int fd);
  void note_end(const NbdConnection& connection);
  /// The device is nobody's any more.
  void lose(const std::string& why);
  /// Gives the device another socket; false if it has not lost its old one.
  Task<Result<bool>> join();
  /// As long as it takes, after the socket was lost.
  Task<void> rejoin();
  Task<void> resize();
  Task<void> wait_until_nothing_is_stuck();
  /// Until nothing is under way, but no longer than the drain limit.
  Task<void> drain();
  [[nodiscard]] std::uint16_t flags() const;
  template <class Command>
  Task<std::invoke_result_t<Command, KernelNbdClient&>> call(int kept, Command command);
  [[nodiscard]] std::string path() const { return settings_.kernel.folder.path(*index_); }
  void log(const std::string& message) const {
    if (settings_.log) settings_.log(message);
  }
  void log_now_and_then(const std::string& message) {
    const std::string line = throttle_.pass(message, loop_.now());
    if (!line.empty()) log(line);
  }

  UringLoop& loop_;
  BlockService& service_;
  Settings settings_;
  NbdConnectionSettings connection_settings_;
  NbdExport export_;
  NbdServerMemory memory_;
  State state_ = State::off;
  std::optional<std::uint32_t> index_;
  bool has_taken_over_ = false;
  Link* link_ = nullptr;  // while it is served
  bool is_joining_ = false;
  bool is_resizing_ = false;
  bool wants_resize_ = false;
  LogThrottle throttle_;
  TaskGroup serving_;  // the link
  TaskGroup tasks_;    // rejoin() and resize()
  Alarm alarm_;        // of rejoin(), then of drain()
  Alarm resize_alarm_;
  TimePoint joined_{};  // when the kernel last got another socket
};

}  // namespace uvdo
