// SPDX-License-Identifier: GPL-2.0-or-later
// A volume as a block device of this machine, /dev/ublkbN: a front end whose only client is the
// kernel.
//
// A device may outlive its server. While there is none its requests wait, those too that the last
// one had not answered; the next server takes the device over, and whoever uses it sees no error.
// What a server had answered must then still be there: so a device with a volatile cache is only
// taken over where nothing that was answered is lost (Takeover).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "block/front_end.h"
#include "ublk/ublk_control.h"
#include "ublk/ublk_requests.h"

namespace uvdo {

/// A device that another process has served.
struct UblkTakeover {
  std::uint32_t device = 0;
  /// The server before has left in order, or nothing that it answered can be lost with it. Not
  /// needed of a device that writes through.
  bool nothing_is_lost = false;
  /// How long the server before may take until it has gone. Kernels before 6.15 notice that a
  /// server was killed that had every request of a queue only when one has taken 30 s.
  Duration patience = std::chrono::seconds(60);
};

class UblkDevice final : public FrontEnd {
 public:
  struct Settings {
    /// The device's number; none: the driver chooses. Not used in a takeover.
    std::optional<std::uint32_t> device{};
    /// The device is not made but taken over.
    std::optional<UblkTakeover> takeover{};
    /// Whose device it is, so that no other volume's is taken over, and that it can be found
    /// (UblkControl::find()): a number of the caller's, as of the volume's UUID. With 0 it cannot
    /// be taken over.
    std::uint64_t identity = 0;

    std::uint16_t queues = 1;
    std::uint16_t depth = 128;               ///< requests of a queue
    std::uint32_t logical_block_size = 512;  ///< bytes; 512 or 4096
    std::uint32_t io_optimum = 1U << 20U;    ///< bytes
    /// Of a request with data, bytes; none: 1 MiB, and 128 KiB where the driver copies, since each
    /// slot then has memory for one.
    std::optional<std::uint32_t> max_io_bytes{};
    /// Every write is stable before it is answered, and the device has no volatile cache: it can be
    /// taken over from a server that was killed.
    bool writes_through = false;
    /// The device outlives its server.
    bool is_recoverable = true;
    /// Made by a user who is not root: cannot be recovered, and the kernel kills a server of such a
    /// device that takes longer than 30 s for a request.
    bool is_unprivileged = false;
    /// The driver copies data, though the server could.
    bool driver_copies = false;

    /// Without an answer for so long, a stop gives up requests that the volume has not begun.
    Duration drain_limit = std::chrono::seconds(5);
    std::uint64_t read_memory = std::uint64_t{16} << 20U;  ///< bytes
    /// Where the times of requests are noted; must outlive the device.
    RequestTimes* times = nullptr;
    /// Told what people may want to know, a sentence each.
    std::function<void(const std::string&)> log{};
    /// Called once if somebody else stops the device while it is served; it needs a shutdown() then
    /// as ever.
    std::function<void()> on_lost{};
  };

  /// What is referred to outlives the device.
  UblkDevice(Executor& executor, UblkDriver& driver, BlockService& service, RequestBudget& budget,
             Settings settings);
  ~UblkDevice() override;

  [[nodiscard]] std::string_view kind() const override { return "ublk"; }
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override;
  /// The kernel, while it has the device.
  [[nodiscard]] std::size_t clients() const override { return state_ == State::serving ? 1 : 0; }
  /// Of a device that was started.
  [[nodiscard]] std::uint32_t number() const { return info_.device; }

  /// Makes the device, or takes it over. The errors are those of UblkControl, in words.
  Task<Result<void>> start() override;
  /// Tells the kernel, where it can be told (Linux 6.16); else logs that the device keeps its size.
  void size_changed() override;
  /// Writes out what the kernel keeps of the device, then ends it: what is under way is answered,
  /// and whoever still uses it gets errors.
  Task<void> shutdown() override;
  /// Ends in the place of shutdown() where another server takes the device over: what is under way
  /// is answered and made stable, the rest waits for the other, which has it when this process has
  /// ended (with Linux 6.16 at once). An error if it could not be made stable; the device is left
  /// all the same. Only of a recoverable device.
  Task<Result<void>> leave() override;
  /// Whether leave() makes sense: it is served, and outlives its server.
  [[nodiscard]] bool can_leave() const override;

  /// Bytes of memory that a device takes at most.
  [[nodiscard]] static std::uint64_t memory_bound(const Settings& settings);

 private:
  enum class State : std::uint8_t { made, starting, serving, ending, ended };

  Task<Result<void>> make_device();
  Task<Result<void>> take_over();
  Task<Result<void>> serve_anew();
  Task<Result<void>> open_port();
  enum class Close : std::uint8_t { now, with_process };
  Task<void> close_port(Close when);
  Task<void> undo_make();
  [[nodiscard]] UblkAttributes attributes() const;
  /// Whether that device may be served as this volume's.
  Result<void> check_takeover(const UblkAttributes& attributes) const;
  Task<void> tell_size();
  Task<void> tell_timeout();
  Task<void> wait_until_quiet();
  Task<void> watch();
  Task<void> write_out(bool& is_over);
  Task<void> stop(bool& is_over);
  /// Until requests were answered no more for the drain limit, or `is_over`.
  Task<void> wait_for_progress(const bool& is_over);
  void log(const std::string& message) const {
    if (settings_.log) settings_.log(message);
  }

  Executor& executor_;
  UblkDriver& driver_;
  UblkControl control_;
  BlockService& service_;
  RequestBudget& budget_;
  Settings settings_;
  State state_ = State::made;
  ublk::DeviceInfo info_;
  std::unique_ptr<UblkRequests> requests_;
  std::unique_ptr<UblkPort> port_;
  TaskGroup tasks_;
  Alarm alarm_;  // of wait_for_progress()
};

}  // namespace uvdo
