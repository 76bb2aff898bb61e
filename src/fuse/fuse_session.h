// SPDX-License-Identifier: GPL-2.0-or-later
// One mount as seen from /dev/fuse: receives the kernel's requests, has the volume carry them out
// and answers. All of it runs on the volume's loop, with no thread of its own.
//
// A reader takes requests off the descriptor, one after the other; what needs no data is answered
// at once, the rest runs by itself with a slot of the budget. The data of a write are copied once,
// from the memory that they were received in to buffers of the volume; those of a read go to the
// kernel from where the volume has put them.
//
// The kernel is trusted to be the kernel, and no further: what is malformed is refused.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include <sys/uio.h>

#include "async/uring_loop.h"
#include "base/aligned_memory.h"
#include "base/file_descriptor.h"
#include "block/block_service.h"
#include "block/request_budget.h"
#include "block/request_pieces.h"
#include "block/request_times.h"
#include "fuse/fuse_folder.h"
#include "fuse/fuse_protocol.h"

namespace uvdo {

/// What another process must know to go on with a mount, beside its descriptor.
struct FuseHandover {
  fuse::Agreement agreement;
  std::uint64_t open_files = 0;  ///< to be told, and no more: it may be out of date
};

class FuseSession {
 public:
  struct Settings {
    std::string name = "volume";  ///< of the file; check_file_name() has found nothing
    FuseOwner owner{};
    mode_t mode = 0600;
    /// Bytes for the data of reads, which are apart from the volume's own memory; at least
    /// kLeastForReads.
    std::uint64_t read_memory = kLeastForReads;
    RequestTimes* times = nullptr;
    std::function<void(const std::string&)> log{};
    bool first_flush_fails = false;  ///< with EIO, of a mount that was adopted
  };
  static constexpr std::uint64_t kLeastForReads = std::uint64_t{16} << 20U;

  /// `service` and `budget` must outlive the session.
  FuseSession(UringLoop& loop, BlockService& service, RequestBudget& budget, Settings settings);
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;
  /// Nothing of it runs: it was never begun, or finish() has ended.
  ~FuseSession();

  /// Begins to serve a descriptor of a mount, which does not block. With `handover` it is that of a
  /// session of another process, which has ended: what that has left unanswered is asked for again.
  Result<void> begin(FileDescriptor descriptor, const std::optional<FuseHandover>& handover);
  /// Waits until the kernel has greeted, which it does at once; false if the mount has gone before.
  Task<bool> wait_until_greeted();
  /// What the next process needs; the kernel must have greeted.
  [[nodiscard]] FuseHandover handover() const { return {agreement_, open_files_}; }
  /// -1 before begin() and after finish().
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  /// Whether the mount is there, and its requests are taken.
  [[nodiscard]] bool is_serving() const {
    return state_ == State::greeting || state_ == State::open;
  }
  /// Files that are open.
  [[nodiscard]] std::uint64_t open_files() const { return open_files_; }

  /// Tells the kernel to ask for the size anew.
  void size_changed();
  /// From now on requests that need the volume are refused with ESHUTDOWN, and long ones end early.
  void refuse() { is_refusing_ = true; }
  /// Waits until the mount has gone.
  Task<void> wait_until_gone();
  /// Takes no more requests and finishes what is under way. The descriptor is the caller's then: if
  /// he closes it, what was not taken fails, and so does all later use of the mount.
  Task<FileDescriptor> finish();

 private:
  enum class State : std::uint8_t {
    idle,      ///< not begun
    greeting,  ///< begun, and the kernel has not greeted yet
    open,      ///< requests are served
    gone,      ///< the mount is no more
    finished,  ///< no more requests are taken
  };
  enum class Received : std::uint8_t { request, nothing, again, end };

  struct Read {
    std::uint64_t unique = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
  };
  struct Write {
    std::uint64_t unique = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    Durability durability = Durability::cached;
  };
  /// A change or a question about a range without data.
  struct Range {
    std::uint64_t unique = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint32_t how = 0;  ///< the mode of fallocate(), or `whence` of lseek()
    Durability durability = Durability::cached;
    [[nodiscard]] bool is_long() const { return length > kLongRange; }
  };
  /// A read has at most so many pieces.
  static constexpr std::size_t kMostPieces = fuse::kMostData / BufferPool::kLargest + 1;
  using ReadBuffers = std::array<Buffer, kMostPieces>;

  // ---- receiving (fuse_session.cpp)
  Task<void> receive();
  Received take_message();
  auto readable();
  void lose(const std::string& why);
  [[nodiscard]] bool answer_at_once(const fuse::Request& request);
  void answer_greeting(const fuse::Request& request);
  void answer_lookup(const fuse::Request& request);
  void answer_attributes(const fuse::Request& request);
  void answer_change_of_attributes(const fuse::Request& request);
  void answer_open(const fuse::Request& request);
  void answer_entries(const fuse::Request& request);
  void answer_statistics(const fuse::Request& request);

  // ---- requests that need the volume (fuse_request.cpp)
  [[nodiscard]] bool begin_at_once(const fuse::Request& request);
  Task<void> begin_request(fuse::Request request);
  Task<void> begin_range(Range range, bool is_question);
  Task<void> slot();
  [[nodiscard]] bool try_slot();
  [[nodiscard]] std::optional<Read> decode_read(const fuse::Request& request);
  [[nodiscard]] std::optional<Write> decode_write(const fuse::Request& request);
  [[nodiscard]] std::optional<Range> decode_fallocate(const fuse::Request& request);
  [[nodiscard]] std::optional<Range> decode_seek(const fuse::Request& request);
  Task<void> run_read(Read read, Buffer buffer);
  Task<void> run_long_read(Read read);
  Task<void> read_piece(std::uint64_t offset, const Buffer& buffer, Result<void>& outcome);
  Task<void> run_write(Write write, Buffer data);
  Task<void> run_long_write(Write write, ConstBytes data, Event& is_copied);
  Task<void> write_piece(std::uint64_t offset, Buffer data, Durability durability,
                         Result<void>& outcome);
  Task<void> run_flush(std::uint64_t unique);
  Task<void> run_change(Range range);
  Task<Result<void>> change_range(Range range);
  Task<void> run_seek(Range range);
  Task<Result<std::optional<std::uint64_t>>> seek(Range range);
  [[nodiscard]] bool may_not_write() const {
    return service_.is_read_only() && !service_.has_failed();
  }

  // ---- answers (fuse_session.cpp)
  void answer(std::uint64_t unique, int error);
  void answer(std::uint64_t unique, const Result<void>& outcome);
  void answer(std::uint64_t unique, ConstBytes payload);
  template <class T>
  void answer_with(std::uint64_t unique, const T& payload) {
    answer(unique, std::as_bytes(std::span(&payload, 1)));
  }
  /// Sends a header and `pieces`, which begin with room for it.
  [[nodiscard]] int send(std::uint64_t unique, std::int32_t error, std::span<iovec> pieces);
  void answer_data(std::uint64_t unique, std::span<iovec> pieces);
  Result<void> notify(std::int32_t code, ConstBytes payload);
  void log(const std::string& message) const {
    if (settings_.log) settings_.log(message);
  }

  UringLoop& loop_;
  BlockService& service_;
  Settings settings_;
  FuseFolder folder_;
  BufferPool reads_;
  Semaphore gathering_;  ///< held by the one who collects the buffers of a read
  RequestBudget& budget_;
  RequestBudget::Client requests_;
  Semaphore long_requests_;
  AlignedMemory memory_;  ///< the message that was received last; the data of a write begin a page
  std::size_t message_size_ = 0;
  FileDescriptor descriptor_;
  State state_ = State::idle;
  bool is_refusing_ = false;
  bool is_flush_to_fail_ = false;
  fuse::Agreement agreement_{};
  std::uint64_t open_files_ = 0;
  UringLoop::Operation poll_{};
  bool is_polling_ = false;
  TaskGroup reader_;
  WaitQueue changed_;  ///< of the state
};

}  // namespace uvdo
