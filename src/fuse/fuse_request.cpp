// SPDX-License-Identifier: GPL-2.0-or-later
// Requests that need the volume: from what the kernel asks to its answer.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "fuse/fuse_session.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::size_t kExtentsAtOnce = 256;
/// What is looked at for data or holes before it is seen whether somebody still wants to know.
constexpr std::uint64_t kSeekPiece = std::uint64_t{1} << 30U;

Durability durability_of(std::uint32_t flags) {
  return (flags & O_DSYNC) != 0 ? Durability::fua : Durability::cached;
}

Error ended_early() { return {Errc::cancelled, "the server is stopping"}; }

bool is_whole(std::uint64_t offset, std::uint64_t length) {
  return offset % kBlock == 0 && length % kBlock == 0;
}

}  // namespace

// ---- what is asked

std::optional<FuseSession::Read> FuseSession::decode_read(const fuse::Request& request) {
  const auto read = request.head<fuse_read_in>();
  if (!read || read->size > fuse::kMostData || request.header.nodeid != fuse::kFileNode) {
    return std::nullopt;
  }
  const std::uint64_t size = service_.size();
  const std::uint64_t left = read->offset < size ? size - read->offset : 0;
  return Read{request.header.unique, read->offset,
              static_cast<std::uint32_t>(std::min<std::uint64_t>(read->size, left))};
}

std::optional<FuseSession::Write> FuseSession::decode_write(const fuse::Request& request) {
  const auto write = request.head<fuse_write_in>();
  if (!write || request.header.nodeid != fuse::kFileNode || write->size > fuse::kMostData ||
      write->size != request.body.size() - sizeof *write) {
    return std::nullopt;
  }
  return Write{request.header.unique, write->offset, write->size, durability_of(write->flags)};
}

std::optional<FuseSession::Range> FuseSession::decode_fallocate(const fuse::Request& request) {
  const auto change = request.head<fuse_fallocate_in>();
  if (!change || request.header.nodeid != fuse::kFileNode ||
      change->length > UINT64_MAX - change->offset) {
    return std::nullopt;
  }
  const bool is_sync = (change->fh & fuse::kSyncHandle) != 0;
  return Range{request.header.unique, change->offset, change->length, change->mode,
               is_sync ? Durability::fua : Durability::cached};
}

std::optional<FuseSession::Range> FuseSession::decode_seek(const fuse::Request& request) {
  const auto seek = request.head<fuse_lseek_in>();
  if (!seek || request.header.nodeid != fuse::kFileNode) return std::nullopt;
  const std::uint64_t size = service_.size();
  const std::uint64_t left = seek->offset < size ? size - seek->offset : 0;
  return Range{request.header.unique, seek->offset, left, seek->whence};
}

// ---- beginning

bool FuseSession::try_slot() { return !requests_.is_at_limit() && requests_.try_acquire(); }

Task<void> FuseSession::slot() {
  while (requests_.is_at_limit()) co_await requests_.one_ended();
  co_await requests_.acquire();
}

/// Begins what is most usual, if nothing of it has to be waited for.
bool FuseSession::begin_at_once(const fuse::Request& request) {
  if (is_refusing_) return false;
  if (request.opcode() == FUSE_READ) {
    const auto read = decode_read(request);
    if (!read || piece_count(read->offset, read->length) != 1) return false;
    Buffer buffer = reads_.try_acquire(read->length);
    if (buffer.data() == nullptr || !try_slot()) return false;
    spawn(run_read(*read, std::move(buffer)));
    return true;
  }
  if (request.opcode() == FUSE_WRITE) {
    const auto write = decode_write(request);
    const std::uint64_t size = service_.size();
    if (!write || piece_count(write->offset, write->length) != 1 || may_not_write() ||
        write->offset >= size || write->length > size - write->offset) {
      return false;
    }
    Buffer buffer = service_.buffers().try_acquire(write->length);
    if (buffer.data() == nullptr || !try_slot()) return false;
    std::memcpy(buffer.data(), request.body.data() + sizeof(fuse_write_in), write->length);
    spawn(run_write(*write, std::move(buffer)));
    return true;
  }
  return false;
}

/// Begins a request, or refuses it. What it refers to may be received anew when this has ended.
Task<void> FuseSession::begin_request(fuse::Request request) {
  const std::uint64_t unique = request.header.unique;
  const bool writes = request.opcode() == FUSE_WRITE || request.opcode() == FUSE_FALLOCATE;
  if (is_refusing_) {
    answer(unique, ESHUTDOWN);
    co_return;
  }
  if (writes && may_not_write()) {
    answer(unique, EROFS);
    co_return;
  }
  switch (request.opcode()) {
    case FUSE_READ: {
      const auto read = decode_read(request);
      if (!read) break;
      if (read->length == 0) {
        answer(unique, 0);
        co_return;
      }
      co_await slot();
      spawn(run_long_read(*read));
      co_return;
    }
    case FUSE_WRITE: {
      const auto write = decode_write(request);
      if (!write) break;
      const std::uint64_t size = service_.size();
      if (write->offset > size || write->length > size - write->offset) {
        answer(unique, ENOSPC);
        co_return;
      }
      co_await slot();
      Event is_copied(loop_);
      spawn(run_long_write(*write, request.body.subspan(sizeof(fuse_write_in)), is_copied));
      co_await is_copied.wait();
      co_return;
    }
    case FUSE_FSYNC:
      co_await slot();
      spawn(run_flush(unique));
      co_return;
    case FUSE_FALLOCATE: {
      const auto range = decode_fallocate(request);
      if (!range) break;
      co_await begin_range(*range, false);
      co_return;
    }
    case FUSE_LSEEK: {
      const auto range = decode_seek(request);
      if (!range) break;
      co_await begin_range(*range, true);
      co_return;
    }
    default: break;
  }
  answer(unique, EINVAL);
}

Task<void> FuseSession::begin_range(Range range, bool is_question) {
  if (range.is_long()) co_await budget_.acquire_long();
  co_await slot();
  spawn(is_question ? run_seek(range) : run_change(range));
}

// ---- reads

Task<void> FuseSession::run_read(Read read, Buffer buffer) {
  Result<void> outcome;
  co_await read_piece(read.offset, buffer, outcome);
  if (outcome) {
    answer(read.unique, ConstBytes(buffer.bytes()));
  } else {
    answer(read.unique, outcome);
  }
  requests_.release();
}

Task<void> FuseSession::read_piece(std::uint64_t offset, const Buffer& buffer,
                                   Result<void>& outcome) {
  const RequestTimes::Span span(settings_.times, RequestKind::read, buffer.size());
  Result<void> done = co_await service_.read(offset, buffer.bytes());
  if (!done && outcome) outcome = std::move(done);
}

/// The answer goes out in one piece, so that all of its buffers are needed at the same time.
Task<void> FuseSession::run_long_read(Read read) {
  ReadBuffers buffers;
  std::size_t count = 0;
  co_await gathering_.acquire();
  for (std::uint32_t done = 0; done < read.length;) {
    const std::uint32_t length = piece_length(read.offset + done, read.length - done);
    Buffer buffer = co_await reads_.acquire(length);
    buffers[count++] = std::move(buffer);
    done += length;
  }
  gathering_.release();
  Result<void> outcome;
  TaskGroup pieces(loop_);
  std::uint64_t offset = read.offset;
  for (const Buffer& buffer : std::span(buffers).first(count)) {
    co_await loop_.give_way();
    pieces.start(read_piece(offset, buffer, outcome));
    offset += buffer.size();
  }
  co_await pieces.wait();
  if (outcome) {
    std::array<iovec, kMostPieces + 1> data{};
    for (std::size_t i = 0; i < count; ++i) data[i + 1] = {buffers[i].data(), buffers[i].size()};
    answer_data(read.unique, std::span(data).first(count + 1));
  } else {
    answer(read.unique, outcome);
  }
  requests_.release();
}

// ---- writes

Task<void> FuseSession::run_write(Write write, Buffer data) {
  Result<void> outcome;
  Task<void> piece = write_piece(write.offset, std::move(data), write.durability, outcome);
  co_await std::move(piece);
  if (outcome) {
    folder_.note_change();
    answer_with(write.unique, fuse_write_out{write.length, 0});
  } else {
    answer(write.unique, outcome);
  }
  requests_.release();
}

Task<void> FuseSession::write_piece(std::uint64_t offset, Buffer data, Durability durability,
                                    Result<void>& outcome) {
  const RequestTimes::Span span(settings_.times, RequestKind::write, data.size());
  auto write = service_.write(offset, std::move(data), durability);
  Result<void> done = co_await std::move(write);
  if (!done && outcome) outcome = std::move(done);
}

/// Each piece is on its way before a buffer for the next is asked for: who waits for one holds
/// none. `data` is the reader's memory, which it may use again when `is_copied` is set.
Task<void> FuseSession::run_long_write(Write write, ConstBytes data, Event& is_copied) {
  Result<void> outcome;
  TaskGroup pieces(loop_);
  for (std::uint32_t done = 0; done < write.length && outcome;) {
    const std::uint32_t length = piece_length(write.offset + done, write.length - done);
    Buffer buffer = co_await service_.buffers().acquire(length);
    if (buffer.data() == nullptr) {
      outcome = Error(Errc::no_space, "the volume takes no writes now");
      break;
    }
    std::memcpy(buffer.data(), data.data() + done, length);
    co_await loop_.give_way();
    Task<void> piece =
        write_piece(write.offset + done, std::move(buffer), write.durability, outcome);
    pieces.start(std::move(piece));
    done += length;
  }
  is_copied.set();  // the event is the reader's, and gone when that goes on
  co_await pieces.wait();
  folder_.note_change();
  if (outcome) {
    answer_with(write.unique, fuse_write_out{write.length, 0});
  } else {
    answer(write.unique, outcome);
  }
  requests_.release();
}

Task<void> FuseSession::run_flush(std::uint64_t unique) {
  {
    const RequestTimes::Span span(settings_.times, RequestKind::flush, 0);
    Result<void> outcome = co_await service_.flush();
    // What is missing was answered before: no flush of ours brings it back.
    if (std::exchange(is_flush_to_fail_, false)) {
      outcome = Error(Errc::io, "writes that were answered before may be lost");
    }
    answer(unique, outcome);
  }
  requests_.release();
}

// ---- ranges without data

Task<void> FuseSession::run_change(Range range) {
  const bool is_long = range.is_long();
  {
    const RequestTimes::Span span(settings_.times, RequestKind::discard, range.length);
    if (is_long) co_await long_requests_.acquire();
    Result<void> outcome = co_await change_range(range);
    if (is_long) long_requests_.release();
    folder_.note_change();
    answer(range.unique, outcome);
  }
  if (is_long) budget_.release_long();
  requests_.release();
}

/// Discards or zeroes a range, piece by piece.
Task<Result<void>> FuseSession::change_range(Range range) {
  constexpr std::uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const bool is_punch = range.how == kPunch;
  const bool keeps_size = (range.how & FALLOC_FL_KEEP_SIZE) != 0;
  if (!is_punch && (range.how & ~std::uint32_t{FALLOC_FL_KEEP_SIZE}) != FALLOC_FL_ZERO_RANGE) {
    co_return Error(Errc::unsupported, "a thin volume reserves no room");
  }
  const std::uint64_t size = service_.size();
  const std::uint64_t begin = std::min(range.offset, size);
  const std::uint64_t end = std::min(range.offset + range.length, size);
  if (!keeps_size && end != range.offset + range.length) {
    co_return Error(Errc::no_space, "the volume does not grow by that");
  }
  std::uint64_t offset = begin;
  while (offset < end) {
    if (range.is_long() && is_refusing_) co_return ended_early();
    const std::uint64_t length = std::min(end - offset, kRangePiece - offset % kRangePiece);
    // The last piece makes what whole blocks of all of them say stable; parts of blocks at the
    // begin are the first one's.
    const bool is_edge = offset == begin || offset + length == end;
    const Durability durability = is_edge ? range.durability : Durability::cached;
    Result<void> done;
    if (is_punch && is_whole(offset, length)) {
      Result<void> discarded = co_await service_.discard(offset, length, durability);
      done = std::move(discarded);
    } else {
      // A discard may leave parts of blocks as they are, a hole in a file may not.
      const ZeroMode mode = is_punch ? ZeroMode::punch : ZeroMode::mapped;
      Result<void> zeroed = co_await service_.write_zeroes(offset, length, mode, durability);
      done = std::move(zeroed);
    }
    if (!done) co_return std::move(done).error();
    offset += length;
    co_await loop_.give_way();
  }
  co_return Result<void>();
}

Task<void> FuseSession::run_seek(Range range) {
  const bool is_long = range.is_long();
  if (is_long) co_await long_requests_.acquire();
  auto found = co_await seek(range);
  if (is_long) long_requests_.release();
  if (!found) {
    answer(range.unique, Result<void>(std::move(found).error()));
  } else if (!*found) {
    answer(range.unique, ENXIO);
  } else {
    answer_with(range.unique, fuse_lseek_out{**found});
  }
  if (is_long) budget_.release_long();
  requests_.release();
}

/// Where the next data or the next hole begins; nothing if there is none. Behind the last data is
/// a hole. What was written as zeros counts as one.
Task<Result<std::optional<std::uint64_t>>> FuseSession::seek(Range range) {
  using Place = std::optional<std::uint64_t>;
  const bool wants_data = range.how == SEEK_DATA;
  if (!wants_data && range.how != SEEK_HOLE) {
    co_return Error(Errc::invalid_argument, "an unknown way to seek");
  }
  if (range.length == 0) co_return Place();
  std::uint64_t offset = range.offset;
  std::uint64_t left = range.length;
  while (left > 0) {
    if (range.is_long() && is_refusing_) co_return ended_early();
    auto extents = co_await service_.extents(offset, std::min(left, kSeekPiece), kExtentsAtOnce);
    if (!extents) co_return std::move(extents).error();
    if (extents->empty()) co_return Error(Errc::io, "the volume does not know its extents");
    for (const Extent& extent : *extents) {
      if ((extent.kind == ExtentKind::data) == wants_data) co_return Place(offset);
      const std::uint64_t length = std::min(extent.length, left);
      offset += length;
      left -= length;
    }
    co_await loop_.give_way();
  }
  if (wants_data) co_return Place();
  co_return Place(offset);
}

}  // namespace uvdo
