// SPDX-License-Identifier: GPL-2.0-or-later
// An export of an NBD server as backing store: a URI and not a path. Its connections may break and
// its server be started anew: requests wait meanwhile, what was written since the last flush is
// written again, and then they go on as if nothing had been. docs/remote-storage.md tells people.
//
// What must hold:
//  - A write is answered when the server has answered it, and kept in memory (UnflushedWrites)
//    until a flush has succeeded that was sent later. What is kept is bounded: the write that goes
//    beyond the bound is answered after a flush of the store's own.
//  - After a connection has broken, nothing more is sent by any, and all are closed once what the
//    others have under way has ended: a living server carries out what it was asked for, whenever
//    it likes. What nobody has answered is sent again once all that is kept has been written again.
//  - Nothing is under way, and no operation of the loop either, while no request is.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/uring_loop.h"
#include "device/nbd_client.h"
#include "device/network_store.h"
#include "device/unflushed_writes.h"

namespace uvdo {

class NbdStore final : public NetworkStore {
 public:
  /// How long requests wait for a server that does not come back, before they fail.
  static constexpr std::chrono::seconds kPatience{600};

  /// Connects to the export of `uri`, under the lock of this machine. Requests complete by way of
  /// `loop`, which outlives the store; with nullptr inside submit(). "uvdo-wait" of the URI, in
  /// seconds, counts before `patience`. invalid_argument: it is no URI
  /// for a volume; read_only, io, busy: it cannot be opened so.
  static Result<std::unique_ptr<NbdStore>> open(UringLoop* loop, const std::string& uri,
                                                OpenMode mode,
                                                std::chrono::milliseconds patience = kPatience);
  /// Reads the beginning of the export without a lock: how many bytes of `out` there are.
  static Result<std::size_t> peek(const std::string& uri, MutableBytes out);
  ~NbdStore() override;

  void submit(Request& request) override;
  /// A server tells the size at the beginning of a connection. So it is asked by another one, and
  /// if the export has become larger, or the server is not known to take two clients, all
  /// connections are made anew after what is under way, and a flush.
  Result<std::uint64_t> look_up_size() override;
  Task<Result<void>> extend(std::uint64_t size) override;
  Result<void> release() override;
  Result<void> reopen() override;
  [[nodiscard]] Result<BackingState> last_look() override;
  void send_while(std::function<bool()> may_send) override { may_send_ = std::move(may_send); }
  [[nodiscard]] Result<BackingState> look() const override;

 private:
  /// Connections where a server can do with several: more than one thread of it works for us then.
  static constexpr std::size_t kConnections = 4;
  /// How long a server may take to be connected to.
  static constexpr std::chrono::milliseconds kConnectPatience{10'000};

  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t {
    up,          ///< commands are sent
    draining,    ///< none is sent: a connection has broken, and others have something under way
    pausing,     ///< until it connects anew
    connecting,  ///< anew
    replaying,   ///< what is kept is written again
    ended,       ///< for good: nothing may be sent any more
  };
  struct Job;
  struct Watch;

  NbdStore(UringLoop* loop, std::string uri, OpenMode mode, std::chrono::milliseconds patience);

  [[nodiscard]] Result<void> check(const NbdExportOffer& found) const;
  Result<std::vector<std::unique_ptr<NbdClient>>> connect_all(std::size_t most);
  void use(std::vector<std::unique_ptr<NbdClient>> connections);
  [[nodiscard]] Result<void> check_is_as_able(const NbdExportOffer& found) const;
  Result<void> settle();

  // ---- requests
  void start(Request& request);
  void carry_out_unaligned(Request& request);
  void prepare(Job& job, Request& request);
  Job& make_job(Op op);
  void cut(Job& job, std::uint64_t offset, std::uint64_t length, std::byte* data,
           Durability durability);
  void answered(NbdCommand& command);
  void finish(Job& job);
  void finish_write(Job& job);
  void finish_own_flush(Job& job);
  void answer(Job& job);
  void flush_by_itself();
  void remove(Job& job);

  // ---- connections
  void turn();
  void send_waiting();
  void collect();
  void break_off(const std::string& why);
  void drain();
  void take_back_unanswered();
  void close_all();
  void attempt();
  void attempt_failed(const std::string& why);
  void look_at_attempt();
  void replay();
  void come_up();
  void give_up();
  [[nodiscard]] bool has_ended();
  void end_for_good();
  [[nodiscard]] bool is_idle() const { return jobs_.empty(); }
  [[nodiscard]] std::vector<NbdClient*> all() const;
  [[nodiscard]] std::optional<Clock::time_point> next_time() const;

  // ---- waiting
  void wait();
  void watch();
  void watch(Watch& one, NbdClient& connection);
  void watch_time();
  void forget_watch(NbdClient& connection);
  void forget_watches();
  void on_event(Watch& one);

  UringLoop* loop_;
  std::chrono::milliseconds patience_;
  NbdExportOffer export_;

  State state_ = State::up;
  std::vector<std::unique_ptr<NbdClient>> connections_;
  std::unordered_map<Job*, std::unique_ptr<Job>> jobs_;  // all that are not answered
  std::deque<NbdCommand*> waiting_;                      // to be sent
  std::size_t replaying_ = 0;                            // commands of the replay to be answered
  std::vector<std::unique_ptr<Job>> replay_;
  int replay_error_ = 0;
  UnflushedWrites unflushed_;
  std::vector<Job*> behind_flush_;  // writes that are answered after the store's own flush
  bool flushes_by_itself_ = false;
  // Of the store's own flush: each flush says so, until one that began later has succeeded.
  int lost_error_ = 0;

  Clock::time_point last_sign_;  // of life: an answer, or when nothing was to be answered
  std::optional<Clock::time_point> broken_since_;
  bool has_given_up_ = false;
  std::function<bool()> may_send_;
  std::string trouble_;  // why it is not up
  std::chrono::milliseconds pause_{0};
  Clock::time_point next_attempt_;
  Clock::time_point attempt_end_;

  std::unordered_map<NbdClient*, std::shared_ptr<Watch>> watches_;
  std::shared_ptr<Watch> time_watch_;
};

}  // namespace uvdo
