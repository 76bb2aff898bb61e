// SPDX-License-Identifier: GPL-2.0-or-later
// The requests of a device, from the driver to the volume and back. What has come waits for its
// turn; each then runs by itself, and what has data in pieces. Reads have memory of their own, so
// that they go on where writes wait for the volume's.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/page_memory.h"
#include "base/ring_queue.h"
#include "block/block_service.h"
#include "block/request_budget.h"
#include "block/request_times.h"
#include "ublk/ublk_driver.h"
#include "ublk/ublk_request.h"

namespace uvdo {

class UblkRequests final : private UblkPort::Owner {
 public:
  struct Settings {
    /// Every write is stable before it is answered.
    bool writes_through = false;
    std::uint64_t read_memory = std::uint64_t{16} << 20U;  ///< bytes, where the server copies
    /// Where the times of requests are noted; must outlive this.
    RequestTimes* times = nullptr;
    /// Told what should never happen, a sentence each; may be empty.
    std::function<void(const std::string&)> log{};
  };

  /// `device` is as the driver has made it. What is referred to outlives this.
  UblkRequests(Executor& executor, BlockService& service, RequestBudget& budget,
               const ublk::DeviceInfo& device, const Settings& settings);
  /// end() has ended, or begin() was never called.
  ~UblkRequests();

  /// What a port is opened with.
  [[nodiscard]] UblkPort::Owner& owner() { return *this; }
  /// Asks the driver for requests and serves them. `port` outlives end().
  void begin(UblkPort& port);

  /// Requests that the volume has, or that wait for their turn.
  [[nodiscard]] std::size_t under_way() const { return client_.in_flight() + waiting_.size(); }
  /// How many have come so far, and how many have been answered.
  [[nodiscard]] std::uint64_t come() const { return come_; }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  /// Whether the driver will send none any more: somebody has stopped the device.
  [[nodiscard]] bool are_all_retired() const { return retired_ == slots_.size(); }
  /// Why a slot was retired that should not be: a negative errno; 0 if none was.
  [[nodiscard]] int refusal() const { return refusal_; }
  /// co_await requests.changed(): until a slot was retired. Whoever is woken looks again.
  [[nodiscard]] auto changed() { return changed_.wait(); }

  /// From now on answers what the volume has not begun, and long ones that it has, with an error.
  void refuse();
  /// Begins no more, and answers what was begun. What was not is left for the next server.
  Task<void> leave();
  /// The driver has retired all slots, or the port is closed next: ends what serves them.
  Task<void> end();

  /// Bytes of memory that it takes at most.
  [[nodiscard]] static std::uint64_t memory_bound(const ublk::DeviceInfo& device,
                                                  const Settings& settings);

 private:
  /// What has become of the request of a slot.
  enum class State : std::uint8_t {
    fetching,  ///< the driver has none for it yet
    waiting,   ///< it has come
    running,   ///< the volume has it
    retired,   ///< none will come
  };
  struct Slot {
    UblkSlot place{};
    State state = State::fetching;
    UblkRequest request{};
    std::uint32_t pieces_left = 0;
    std::int32_t failure = 0;  ///< of the first piece that has failed: a negative errno
  };

  void on_request(UblkSlot place) override;
  void on_retired(UblkSlot place, int result) override;

  [[nodiscard]] std::size_t index_of(UblkSlot place) const {
    return std::size_t{place.queue} * depth_ + place.tag;
  }
  /// Where the driver copies: the slot's memory, else null.
  [[nodiscard]] std::byte* buffer_of(UblkSlot place) const;
  [[nodiscard]] Durability durability_of(const UblkRequest& request) const;

  Task<void> serve();
  /// Decodes the request of a slot.
  Result<void> look_at(Slot& slot);
  void start(Slot& slot, const Result<void>& right);
  Task<void> run_pieces(Slot& slot);
  Task<void> run_read(Slot& slot, std::uint32_t at, std::uint32_t length);
  Task<void> run_write(Slot& slot, std::uint32_t at, std::uint32_t length);
  Task<void> run_other(Slot& slot);
  Task<Result<void>> change_range(UblkRequest request);
  Task<Result<void>> change_piece(const UblkRequest& request, std::uint64_t offset,
                                  std::uint64_t length, Durability durability);
  Task<Buffer> buffer_from(BufferPool& pool, std::size_t size);
  Result<void> take_data(const Slot& slot, std::uint32_t at, MutableBytes out);
  void finish(Slot& slot, const Result<void>& result);

  Executor& executor_;
  BlockService& service_;
  RequestBudget& budget_;
  Settings settings_;
  std::uint16_t depth_;
  std::uint32_t max_io_bytes_;
  bool server_copies_;
  BufferPool read_buffers_;
  PageMemory slot_memory_;  // where the driver copies
  std::vector<Slot> slots_;
  RingQueue<UblkSlot> waiting_;  // those that have come, the oldest first
  UblkPort* port_ = nullptr;
  RequestBudget::Client client_;
  Semaphore long_requests_;  // those that run
  WaitQueue arrived_;
  WaitQueue changed_;
  TaskGroup serving_;
  std::size_t retired_ = 0;
  std::uint64_t come_ = 0;
  std::uint64_t answered_ = 0;
  int refusal_ = 0;
  bool refuses_ = false;
  bool has_left_ = false;
  bool is_ending_ = false;
};

}  // namespace uvdo
