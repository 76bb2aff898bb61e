// SPDX-License-Identifier: GPL-2.0-or-later
// One client of the NBD server, from the greeting to the goodbye. A reader parses requests and
// starts them; each runs by itself; NbdReplyQueue sends what is done. It needs only an executor
// and a stream, so that tests and the fuzzer feed it bytes.
#pragma once

#include <optional>
#include <string>

#include "async/wait_queue.h"
#include "block/front_end.h"
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

/// All of it runs on the volume's thread. What must hold:
/// - The reader alone takes bytes from the channel. It stays in step: a request that is refused has
///   its payload skipped, and where that cannot be done the connection ends.
/// - Memory is waited for by the reader, so that a client that asks for too much holds up only
///   itself. Streamed reads and block status alone wait by themselves.
/// - A request has a slot of the budget from begin() to on_replied() of its last piece. A write
///   that the volume has accepted is completed even if its client is gone.
/// - Who waits for memory while it holds buffers that nobody will give back for it has
///   NbdServerMemory::gathering, so that two never wait for each other.
// Nothing derives from it, which the check does not look at.
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class NbdConnection final : private NbdReplyQueue::Owner {
 public:
  NbdConnection(Executor& executor, Stream& stream, const NbdExports& exports,
                NbdServerMemory& memory, const NbdConnectionSettings& settings);
  /// Of a client that has had its session without a handshake, and begins with its first request.
  NbdConnection(Executor& executor, Stream& stream, const NbdSession& session,
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
  /// Whether the client has said that it leaves (and wants no answer to that).
  [[nodiscard]] bool has_said_goodbye() const { return said_goodbye_; }
  /// Hangs up on a client in the handshake, to make room for another.
  void make_room();
  /// To be called about once a second: hangs up on clients that hold up others, and notices those
  /// that have gone.
  void check_progress(TimePoint now);
  [[nodiscard]] bool is_encrypted() const { return channel_.is_encrypted(); }
  [[nodiscard]] const ClientRequests& asked() const { return asked_; }
  /// Why we hung up; empty if the client left.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Whether the first flush is still to come, and to fail (first_flush_fails_until).
  [[nodiscard]] bool owes_error() const { return owes_error_; }

 private:
  NbdConnection(Executor& executor, Stream& stream, NbdServerMemory& memory,
                const NbdConnectionSettings& settings);

  /// The sender is done with a piece: gives its memory back and, with the last one, the request.
  void on_replied(NbdPiece& piece) override;
  void on_send_failed() override { hang_up(); }

  /// Nothing is received or sent any more; what is under way ends as soon as it may.
  void hang_up();
  /// Whether nobody waits for the end of what takes long.
  [[nodiscard]] bool may_end_early() const { return has_left_ || hung_up_ || draining_; }

  /// The reader's loop, until the client says goodbye, leaves or breaks the protocol.
  Task<void> serve_requests();
  /// Starts a request, or answers it with an error. False if the stream has ended in its payload.
  Task<bool> dispatch(const nbd::RequestHeader& header, const nbd::Judgement& judgement);
  /// Starts a read or write of one piece for which everything is there, without a coroutine for the
  /// reading of it. False: nothing was taken, dispatch() it.
  [[nodiscard]] bool try_fast_path(const nbd::RequestHeader& header);
  /// Receives a payload piece by piece; each piece is written as soon as it is there. False if the
  /// stream ended: what came of the request is written, and answered to nobody.
  Task<bool> receive_write(const nbd::RequestHeader& header);
  /// Starts all pieces of a read, waiting for the buffer of each.
  Task<void> start_read(const nbd::RequestHeader& header);
  /// Whether a read is answered in parts (nbd_streamed_read.cpp): too long to be held as a whole,
  /// and the client knows no chunks.
  [[nodiscard]] bool is_streamed(const nbd::RequestHeader& header) const;
  /// A buffer, waited for if there is none. Empty only where the pool refuses, which a volume
  /// without room beneath makes that of writes do.
  Task<Buffer> buffer_from(BufferPool& pool, std::size_t size);

  // The life of a piece, each by itself.
  Task<void> run_read(NbdPiece& piece);
  Task<void> run_streamed_read(NbdRequest& request);
  Task<void> run_write(NbdPiece& piece);
  Task<void> run_block_status(NbdPiece& piece);
  Task<void> run_other(NbdPiece& piece);
  /// Of BLOCK_STATUS: descriptors into the piece's buffer; their number.
  Task<Result<std::size_t>> describe_extents(const NbdPiece& piece);
  Task<Result<void>> change_range(nbd::RequestHeader header);
  Task<Result<void>> change_piece(const nbd::RequestHeader& header, std::uint64_t offset,
                                  std::uint32_t length, Durability durability);
  /// Of a streamed read: reads the pieces of one part; all of them have ended when it returns.
  Task<Result<void>> read_part(std::span<NbdPiece* const> part);
  /// Sends a part and waits until it has been sent: its buffers are free for the next one then.
  Task<void> send_part(std::span<NbdPiece* const> part, bool begins);
  /// Pieces with the largest buffers for all parts of a streamed read.
  Task<void> take_window(NbdRequest& request, std::span<NbdPiece*> window);

  /// Needs a slot of the budget.
  NbdRequest& begin(const nbd::RequestHeader& header, std::uint32_t pieces);
  NbdPiece& first_piece(NbdRequest& request, std::uint64_t offset, std::uint32_t length);
  /// The first piece of a request, or one more.
  Task<NbdPiece*> next_piece(NbdRequest& request, std::uint64_t offset, std::uint32_t length,
                             bool is_first);
  /// Answers a request that never reached the volume. Needs a slot of the budget, too: replies to
  /// refusals take as much memory as others, and a client must not get more of it by mistakes.
  void answer_error(const nbd::RequestHeader& header, nbd::WireError error,
                    std::string_view message);
  /// What a request that is not carried out to its end is answered with.
  [[nodiscard]] static Error ended_early();
  /// A piece has been carried out. Takes note of the first error of the request, and answers when
  /// it is time. The piece, and with the last one the request, may be gone afterwards.
  void finish(NbdPiece& piece, const Result<void>& result);
  void finish_read(NbdPiece& piece);
  /// Hands a piece to the sender; nobody else touches it before on_replied().
  void reply(NbdPiece& piece, NbdPiece::Answer answer, bool last);
  void release(NbdPiece& piece);
  /// Whether the data of a read go out in one reply: the client knows no chunks, or has set DF.
  [[nodiscard]] bool is_gathered(const NbdRequest& request) const;

  Executor& executor_;
  const NbdConnectionSettings& settings_;
  NbdServerMemory& memory_;
  NbdChannel channel_;
  std::optional<NbdHandshake> handshake_;  // where there is one
  NbdReplyQueue replies_;
  NbdSession session_{};
  // Null until an export is chosen, which is also how the phase of the handshake is known.
  BlockService* service_ = nullptr;

  RequestBudget::Client requests_;
  std::uint32_t under_way_ = 0;  // of those in flight, not refused
  ClientRequests asked_;
  Semaphore long_requests_;  // those that run
  Semaphore streams_;        // the reads that are answered in parts, one at a time
  WaitQueue part_sent_;
  TaskGroup sender_;

  bool draining_ = false;
  bool leaving_ = false;       // the client said goodbye or vanished
  bool said_goodbye_ = false;  // it waits for what it has asked for before
  bool has_left_ = false;      // without a goodbye
  bool hung_up_ = false;
  bool receiving_payload_ = false;  // of a request that is under way, into a buffer of the volume's
  // How much the reader receives at a time: all that fits while requests are small; after a large
  // payload only a little, so that the next one is received straight into its own buffers.
  std::size_t fill_limit_;
  TimePoint started_;
  bool owes_error_;  ///< to the first flush
  // When bytes were last seen to have moved (check_progress()), and their number then.
  TimePoint last_progress_;
  std::uint64_t last_moved_ = 0;
  std::string reason_;
};

}  // namespace uvdo
