// SPDX-License-Identifier: GPL-2.0-or-later
// An image of Ceph as backing store, by the module that has librbd (device/rbd_module.h).
//
// What must hold:
//  - A write that is answered is stable, since nothing keeps it back on its way: a flush is
//  answered
//    at once.
//  - A server that has been shut out of the cluster never writes again, nor reads: the first answer
//    that says so fails with EIO, and everything after it without being asked for.
//  - No operation of the loop is under way while no request is; but a store that has been idle asks
//  for a sign of life when it is looked at.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/uring_loop.h"
#include "device/cluster_health.h"
#include "device/network_store.h"
#include "device/rbd_module.h"

namespace uvdo {

class RbdStore final : public NetworkStore {
 public:
  /// Opens the image, for writing under its exclusive lock, and under the lock of this machine.
  /// Requests complete by way of `loop`, which outlives the store; with nullptr inside submit().
  /// invalid_argument: it is no name of an image; busy, not_found, ...: it cannot be opened so.
  static Result<std::unique_ptr<RbdStore>> open(UringLoop* loop, const std::string& name,
                                                OpenMode mode);
  /// Reads the beginning of the image without a lock: how many bytes of `out` there are.
  static Result<std::size_t> peek(const std::string& name, MutableBytes out);
  /// busy: somebody has it, on this machine or another; its lock is looked at and not taken.
  static Result<void> check_is_free(const std::string& name, OpenMode mode);
  /// Shuts out who has the image on another machine. busy: a program of this machine has it.
  static Result<void> take_over(const std::string& name);
  ~RbdStore() override;

  void submit(Request& request) override;
  Result<std::uint64_t> look_up_size() override;
  /// Makes the image larger; requests go on meanwhile.
  Task<Result<void>> extend(std::uint64_t size) override;
  Result<void> release() override;
  Result<void> reopen() override;
  /// read_only: another server has taken the image over.
  [[nodiscard]] Result<BackingState> look() const override;
  /// The same with what the cluster says of itself. Of a store that nobody has asked for anything
  /// for a while it wants to know whether it answers, and is still ours.
  [[nodiscard]] Result<BackingState> last_look() override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Hold : std::uint8_t {
    ours,
    shut_out,  ///< for ever: another client has broken the lock
  };
  struct Watch;
  /// A read of the store's own.
  struct Sign {
    Request request;
    std::array<std::byte, kBlockSize> block{};
    iovec slice{};
  };

  RbdStore(UringLoop* loop, std::string name, RbdPlace place, OpenMode mode);
  static Result<RbdPlace> place_of(const std::string& name);

  [[nodiscard]] int refusal_of(const Request& request) const;
  void collect();
  void answered(const RbdImage::Answer& answer);
  void end(Request& request, int error);
  void ask_for_a_sign();
  void watch();
  void forget_watch();

  UringLoop* loop_;
  RbdPlace place_;
  Sign sign_;  // before the image, which may read into it until it is closed
  std::unique_ptr<RbdImage> image_;
  Hold hold_ = Hold::ours;
  std::size_t under_way_ = 0;
  Clock::time_point last_sign_;  // of life: an answer, or when nothing was to be answered
  std::shared_ptr<Watch> watch_;
  ClusterHealth health_;
};

}  // namespace uvdo
