// SPDX-License-Identifier: GPL-2.0-or-later
// The sending side of a connection: replies that became ready in one turn of the loop go out in
// one system call, their data straight from the buffers that were read into.
//
// The answer to a read that is too long for memory goes out in parts: from its first to its last
// part nothing else is sent. Who pushes parts waits for one to be sent before it pushes the next.
#pragma once

#include <array>
#include <vector>

#include "async/wait_queue.h"
#include "nbd/nbd_request.h"
#include "net/stream.h"

namespace uvdo {

class NbdReplyQueue {
 public:
  /// Whoever owns the pieces. on_replied() is called for each whose reply has been sent or dropped,
  /// in the order in which they were pushed but for parts; on_send_failed() once, by the first send
  /// that fails.
  class Owner {
   public:
    virtual void on_replied(NbdPiece& piece) = 0;
    virtual void on_send_failed() = 0;

   protected:
    ~Owner() = default;
  };

  NbdReplyQueue(Executor& executor, Owner& owner);

  /// A reply, or a part of one, that is ready. The piece stays in the queue's hands until
  /// on_replied(). Never waits and takes no memory: the queue is a list through the pieces.
  void push(NbdPiece& piece);
  /// Sends what is pushed until stop(). After a failed send replies are dropped.
  Task<void> run(Stream& stream);
  /// Lets run() end once the queue is empty.
  void stop();
  /// Whether replies are being sent right now.
  [[nodiscard]] bool is_sending() const { return sending_; }

 private:
  // A sendmsg takes at most 1024 slices (UIO_MAXIOV). A batch ends with the reply that brings it to
  // a megabyte, about what a socket's buffer takes; with a gathered read it may be longer. An error
  // message is cut so that no header with it is longer than kMaxHeader.
  static constexpr std::size_t kMaxSlices = 1024;
  static constexpr std::size_t kBatchBytes = std::size_t{1} << 20U;
  static constexpr std::size_t kHeaderRoom = std::size_t{32} << 10U;
  static constexpr std::size_t kMaxHeader = 512;

  /// Whether collect() would find something: between the parts of an answer only the next part.
  [[nodiscard]] bool has_next() const {
    return open_ != nullptr ? part_ != nullptr : head_ != nullptr;
  }
  /// Makes batch_ and the slices to send of what is queued.
  void collect();
  void add(NbdPiece& piece);
  /// The next `size` bytes of headers_.
  void add_header(std::size_t size);
  void add_data(ConstBytes data);
  void release_batch();

  Executor& executor_;
  Owner& owner_;
  WaitQueue wakeup_;
  NbdPiece* head_ = nullptr;
  NbdPiece** tail_ = &head_;
  const NbdRequest* open_ = nullptr;  // whose answer is being sent in parts
  NbdPiece* part_ = nullptr;          // its next one
  NbdPiece* batch_ = nullptr;         // being sent
  std::vector<std::byte> headers_;
  std::size_t headers_used_ = 0;
  std::vector<iovec> slices_;
  std::size_t slices_used_ = 0;
  std::size_t batch_bytes_ = 0;
  bool header_open_ = false;  // the last slice ends at headers_used_ and can be extended
  bool idle_ = false;
  bool sending_ = false;
  bool failed_ = false;
  bool stopping_ = false;
};

}  // namespace uvdo
