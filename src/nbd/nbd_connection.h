// SPDX-License-Identifier: GPL-2.0-or-later
// One client of the NBD server, from the greeting to the goodbye. A reader parses requests and
// starts them; each runs by itself; NbdReplyQueue sends what is done. It needs only an executor
// and a stream, so that tests and the fuzzer feed it bytes.
#pragma once

#include <string>

#include "async/wait_queue.h"
#include "block/request_times.h"
#include "nbd/nbd_handshake.h"
#include "nbd/nbd_reply_queue.h"
#include "nbd/nbd_server_memory.h"

namespace uvdo {

struct NbdConnectionSettings {
  NbdTlsPolicy tls{};
  std::size_t receive_buffer = std::size_t{256} << 10U;  ///< bytes; at least 128 KiB
  /// From the beginning to the choice of an export, TLS included.
  Duration handshake_limit = std::chrono::seconds(10);
  /// A client that does not move for so long, while others wait for the memory that it holds, is
  /// let go.
  Duration stall_limit = std::chrono::seconds(10);
  /// Where the times of requests are noted; must outlive the connection.
  RequestTimes* times = nullptr;
  /// The first flush of a client that connects before this fails with EIO: it may have been here
  /// before, and miss writes that it was answered.
  TimePoint first_flush_fails_until{};
};

class NbdConnection final : private NbdReplyQueue::Owner {
 public:
  NbdConnection(Executor& executor, Stream& stream, const NbdExports& exports,
                NbdServerMemory& memory, const NbdConnectionSettings& settings);

  /// Serves the client until it leaves. When this returns nothing of it is under way any more and
  /// the stream has been shut down.
  Task<void> run();

  /// Answers new requests with ESHUTDOWN, and long ones that are under way when the piece that has
  /// begun is done; the others go on. In the handshake: hangs up.
  void begin_shutdown();
  /// Whether no request is under way (a half-received one is), but for those that are refused.
  [[nodiscard]] bool is_idle() const { return under_way_ == 0; }
  /// Hangs up; run() returns as soon as the volume has finished what is under way.
  void close() { hang_up(); }
  /// Whether it has not chosen an export yet, and since when.
  [[nodiscard]] bool is_in_handshake() const { return service_ == nullptr && !leaving_; }
  [[nodiscard]] TimePoint started() const { return started_; }
  /// Hangs up on a client in the handshake, to make room for another.
  void make_room();
  /// To be called about once a second: hangs up on clients that hold up others, and notices those
  /// that have gone.
  void check_progress(TimePoint now);
  /// Why we hung up; empty if the client left.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  void on_replied(NbdPiece& piece) override;
  void on_send_failed() override { hang_up(); }

  /// Nothing is received or sent any more; what is under way ends as soon as it may.
  void hang_up();
  /// Whether nobody waits for the end of what takes long.
  [[nodiscard]] bool may_end_early() const { return has_left_ || hung_up_ || draining_; }

  Task<void> serve_requests();
  Task<bool> dispatch(const nbd::RequestHeader& header, const nbd::Judgement& judgement);
  [[nodiscard]] bool try_fast_path(const nbd::RequestHeader& header);
  Task<bool> receive_write(const nbd::RequestHeader& header);
  Task<void> start_read(const nbd::RequestHeader& header);
  [[nodiscard]] bool is_streamed(const nbd::RequestHeader& header) const;
  Task<Buffer> buffer_from(BufferPool& pool, std::size_t size);

  // The life of a piece, each by itself.
  Task<void> run_read(NbdPiece& piece);
  Task<void> run_streamed_read(NbdRequest& request);
  Task<void> run_write(NbdPiece& piece);
  Task<void> run_block_status(NbdPiece& piece);
  Task<void> run_other(NbdPiece& piece);
  Task<Result<std::size_t>> describe_extents(const NbdPiece& piece);
  Task<Result<void>> change_range(nbd::RequestHeader header);
  Task<Result<void>> change_piece(const nbd::RequestHeader& header, std::uint64_t offset,
                                  std::uint32_t length, Durability durability);
  Task<Result<void>> read_part(std::span<NbdPiece* const> part);
  Task<void> send_part(std::span<NbdPiece* const> part, bool begins);
  /// Pieces with the largest buffers for all parts of a streamed read.
  Task<void> take_window(NbdRequest& request, std::span<NbdPiece*> window);

  /// Needs a slot of the budget.
  NbdRequest& begin(const nbd::RequestHeader& header, std::uint32_t pieces);
  NbdPiece& first_piece(NbdRequest& request, std::uint64_t offset, std::uint32_t length);
  /// The first piece of a request, or one more.
  Task<NbdPiece*> next_piece(NbdRequest& request, std::uint64_t offset, std::uint32_t length,
                             bool is_first);
  void answer_error(const nbd::RequestHeader& header, nbd::WireError error,
                    std::string_view message);
  /// What a request that is not carried out to its end is answered with.
  [[nodiscard]] static Error ended_early();
  void finish(NbdPiece& piece, const Result<void>& result);
  void finish_read(NbdPiece& piece);
  void reply(NbdPiece& piece, NbdPiece::Answer answer, bool last);
  void release(NbdPiece& piece);
  [[nodiscard]] bool is_gathered(const NbdRequest& request) const;

  Executor& executor_;
  const NbdConnectionSettings& settings_;
  NbdServerMemory& memory_;
  NbdChannel channel_;
  NbdHandshake handshake_;
  NbdReplyQueue replies_;
  NbdSession session_{};
  BlockService* service_ = nullptr;

  RequestBudget::Client requests_;
  std::uint32_t under_way_ = 0;  // of those in flight, not refused
  Semaphore long_requests_;      // those that run
  Semaphore streams_;            // the reads that are answered in parts, one at a time
  WaitQueue part_sent_;
  TaskGroup sender_;

  bool draining_ = false;
  bool leaving_ = false;       // the client said goodbye or vanished
  bool said_goodbye_ = false;  // it waits for what it has asked for before
  bool has_left_ = false;      // without a goodbye
  bool hung_up_ = false;
  bool receiving_payload_ = false;  // of a request that is under way, into a buffer of the volume's
  std::size_t fill_limit_;
  TimePoint started_;
  bool owes_error_;  ///< to the first flush
  TimePoint last_progress_;
  std::uint64_t last_moved_ = 0;
  std::string reason_;
};

}  // namespace uvdo
