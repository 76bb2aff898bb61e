// SPDX-License-Identifier: GPL-2.0-or-later
// A session at one end of a socket that keeps messages apart, and the test in the kernel's place at
// the other.
#include "fuse/fuse_session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/socket.h>

#include "block/testing/memory_block_service.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kVolume = 8 << 20;

struct Reply {
  fuse_out_header header{};
  std::vector<std::byte> payload;
  [[nodiscard]] int error() const { return -header.error; }
  template <class T>
  [[nodiscard]] T as() const {
    T value{};
    EXPECT_EQ(payload.size(), sizeof value);
    std::memcpy(&value, payload.data(), std::min(payload.size(), sizeof value));
    return value;
  }
};

/// Sends requests and waits for answers, in the loop of the session.
class Kernel {
 public:
  explicit Kernel(UringLoop& loop) : pause_(loop) {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
              0);
    const int room = 4 << 20;
    for (const int end : ends) {
      setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
      setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    ours_ = FileDescriptor(ends[0]);
    its_ = FileDescriptor(ends[1]);
  }
  [[nodiscard]] FileDescriptor take_session_end() { return std::move(its_); }
  void hang_up() { ours_ = FileDescriptor(); }

  void send_raw(ConstBytes message) {
    EXPECT_EQ(write(ours_.get(), message.data(), message.size()),
              static_cast<ssize_t>(message.size()));
  }
  /// The number of the request.
  std::uint64_t send(std::uint32_t opcode, ConstBytes body = {}, ConstBytes data = {},
                     std::uint64_t node = fuse::kFileNode) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size() + data.size());
    header.opcode = opcode;
    header.unique = ++last_;
    header.nodeid = node;
    std::vector<std::byte> message(header.len);
    std::memcpy(message.data(), &header, sizeof header);
    std::ranges::copy(body, message.begin() + sizeof header);
    std::ranges::copy(data,
                      message.begin() + static_cast<std::ptrdiff_t>(sizeof header + body.size()));
    send_raw(message);
    return last_;
  }
  template <class T>
  std::uint64_t send(std::uint32_t opcode, const T& body, ConstBytes data = {},
                     std::uint64_t node = fuse::kFileNode) {
    return send(opcode, std::as_bytes(std::span(&body, 1)), data, node);
  }
  /// The next message of the session.
  Task<Reply> receive() {
    std::vector<std::byte> bytes((1U << 20U) + 4096);
    ssize_t got = -1;
    for (int i = 0; i < 5000 && got < 0; ++i) {
      got = read(ours_.get(), bytes.data(), bytes.size());
      if (got < 0) co_await pause_.sleep(std::chrono::milliseconds(1));
    }
    Reply reply;
    EXPECT_GE(got, static_cast<ssize_t>(sizeof reply.header)) << "no answer";
    if (got < static_cast<ssize_t>(sizeof reply.header)) co_return reply;
    std::memcpy(&reply.header, bytes.data(), sizeof reply.header);
    EXPECT_EQ(reply.header.len, static_cast<std::uint32_t>(got));
    reply.payload.assign(bytes.begin() + sizeof reply.header, bytes.begin() + got);
    co_return reply;
  }
  /// Whether nothing comes for a while.
  Task<bool> is_silent() {
    co_await pause_.sleep(std::chrono::milliseconds(20));
    std::byte byte{};
    co_return recv(ours_.get(), &byte, 1, MSG_PEEK) < 0;
  }
  template <class T>
  Task<Reply> ask(std::uint32_t opcode, T body, ConstBytes data = {},
                  std::uint64_t node = fuse::kFileNode) {
    const std::uint64_t unique = send(opcode, body, data, node);
    Reply reply = co_await receive();
    EXPECT_EQ(reply.header.unique, unique);
    co_return reply;
  }
  Task<void> greet() {
    fuse_init_in offer{};
    offer.major = FUSE_KERNEL_VERSION;
    offer.minor = 38;
    offer.flags = FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_INIT_EXT;
    Reply reply = co_await ask(FUSE_INIT, offer);
    EXPECT_EQ(reply.error(), 0);
    EXPECT_EQ(reply.as<fuse_init_out>().max_write, fuse::kMostData);
  }

 private:
  Alarm pause_;
  FileDescriptor ours_;
  FileDescriptor its_;
  std::uint64_t last_ = 0;
};

fuse_write_in write_in(std::uint64_t offset, std::size_t size, std::uint32_t flags = O_RDWR) {
  fuse_write_in in{};
  in.offset = offset;
  in.size = static_cast<std::uint32_t>(size);
  in.flags = flags;
  return in;
}

fuse_read_in read_in(std::uint64_t offset, std::size_t size) {
  fuse_read_in in{};
  in.offset = offset;
  in.size = static_cast<std::uint32_t>(size);
  return in;
}

fuse_fallocate_in fallocate_in(std::uint64_t offset, std::uint64_t length, std::uint32_t mode) {
  fuse_fallocate_in in{};
  in.offset = offset;
  in.length = length;
  in.mode = mode;
  return in;
}

/// What a test has at hand; it is a coroutine on the session's loop.
struct SessionBench {
  explicit SessionBench(UringLoop& at,
                        testing::MemoryBlockService::Options options = {.size = kVolume},
                        std::uint32_t requests = 64)
      : loop(at),
        service(at, options),
        budget(at, requests),
        session(at, service, budget, {.first_flush_fails = true}),  // of an adopted one
        kernel(at) {}
  Task<void> open() {
    EXPECT_TRUE(session.begin(kernel.take_session_end(), std::nullopt).ok());
    co_await kernel.greet();
    EXPECT_TRUE(session.is_serving());
  }
  Task<void> end() {
    const FileDescriptor descriptor = co_await session.finish();
    EXPECT_TRUE(budget.is_idle());
    EXPECT_EQ(service.buffers().bytes_in_use(), 0U);
  }
  UringLoop& loop;
  testing::MemoryBlockService service;
  RequestBudget budget;
  FuseSession session;
  Kernel kernel;
};

class FuseSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
  }
  void run(Task<void> (*test)(UringLoop&)) { loop_->run(test(*loop_)); }
  std::unique_ptr<UringLoop> loop_;
};

TEST_F(FuseSessionTest, WhatIsReadIsWhatWasWrittenAtAnyAlignment) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    struct Case {
      std::uint64_t offset;
      std::size_t size;
    };
    constexpr std::array<Case, 5> kCases{Case{0, 1}, Case{4096, 4096}, Case{131000, 200},
                                         Case{77, 400'000}, Case{kVolume - 5, 5}};
    for (const auto& [offset, size] : kCases) {
      std::vector<std::byte> data(size);
      for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i * 7 + offset);
      const Reply written = co_await bench.kernel.ask(FUSE_WRITE, write_in(offset, size), data);
      EXPECT_EQ(written.error(), 0);
      EXPECT_EQ(written.as<fuse_write_out>().size, size);
      const Reply read = co_await bench.kernel.ask(FUSE_READ, read_in(offset, size));
      EXPECT_EQ(read.error(), 0);
      EXPECT_EQ(read.payload, data) << offset;
    }
    // Behind the end there is nothing.
    const Reply end = co_await bench.kernel.ask(FUSE_READ, read_in(kVolume - 10, 4096));
    EXPECT_EQ(end.payload.size(), 10U);
    const Reply beyond = co_await bench.kernel.ask(FUSE_READ, read_in(kVolume + 1, 4096));
    EXPECT_EQ(beyond.error(), 0);
    EXPECT_TRUE(beyond.payload.empty());
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, AWriteBeyondTheEndChangesNothing) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    const std::vector<std::byte> data(8192);
    constexpr std::array kOffsets{kVolume - 4096, kVolume, kVolume + 4096, UINT64_MAX - 4096};
    for (const std::uint64_t offset : kOffsets) {
      const Reply reply = co_await bench.kernel.ask(FUSE_WRITE, write_in(offset, 8192), data);
      EXPECT_EQ(reply.error(), ENOSPC) << offset;
    }
    EXPECT_EQ(bench.service.counts.writes, 0U);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, OnlyASynchronousWriteIsForcedToTheMedium) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    const std::vector<std::byte> data(4096);
    co_await bench.kernel.ask(FUSE_WRITE, write_in(0, 4096), data);
    EXPECT_EQ(bench.service.counts.fua_writes, 0U);
    co_await bench.kernel.ask(FUSE_WRITE, write_in(0, 4096, O_RDWR | O_DSYNC), data);
    EXPECT_EQ(bench.service.counts.fua_writes, 1U);
    co_await bench.kernel.ask(FUSE_WRITE, write_in(0, 4096, O_RDWR | O_SYNC), data);
    EXPECT_EQ(bench.service.counts.fua_writes, 2U);
    const Reply synced = co_await bench.kernel.ask(FUSE_FSYNC, fuse_fsync_in{});
    EXPECT_EQ(synced.error(), 0);
    EXPECT_EQ(bench.service.counts.flushes, 1U);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, HolesReadAsZerosWhateverTheirAlignment) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    constexpr std::uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    std::ranges::fill(bench.service.bytes(), std::byte{0x55});
    Reply reply = co_await bench.kernel.ask(FUSE_FALLOCATE, fallocate_in(4096, 8192, kPunch));
    EXPECT_EQ(reply.error(), 0);
    EXPECT_EQ(bench.service.counts.discards, 1U);
    reply = co_await bench.kernel.ask(FUSE_FALLOCATE, fallocate_in(20'001, 10, kPunch));
    EXPECT_EQ(reply.error(), 0);
    EXPECT_EQ(bench.service.counts.discards, 1U) << "a discard may leave parts of blocks";
    EXPECT_EQ(bench.service.counts.zeroes, 1U);
    reply = co_await bench.kernel.ask(FUSE_FALLOCATE, fallocate_in(0, 4096, FALLOC_FL_ZERO_RANGE));
    EXPECT_EQ(reply.error(), 0);
    for (const std::size_t at : {0UL, 4096UL, 12287UL, 20'001UL, 20'010UL}) {
      EXPECT_EQ(bench.service.bytes()[at], std::byte{0}) << at;
    }
    for (const std::size_t at : {12288UL, 20'000UL, 20'011UL}) {
      EXPECT_EQ(bench.service.bytes()[at], std::byte{0x55}) << at;
    }
    // A hole may reach behind the end; zeros may only if they need not be kept.
    reply = co_await bench.kernel.ask(FUSE_FALLOCATE, fallocate_in(kVolume - 4096, 8192, kPunch));
    EXPECT_EQ(reply.error(), 0);
    reply = co_await bench.kernel.ask(FUSE_FALLOCATE,
                                      fallocate_in(kVolume - 4096, 8192, FALLOC_FL_ZERO_RANGE));
    EXPECT_EQ(reply.error(), ENOSPC);
    reply = co_await bench.kernel.ask(FUSE_FALLOCATE, fallocate_in(0, 4096, 0));
    EXPECT_EQ(reply.error(), EOPNOTSUPP);
    reply = co_await bench.kernel.ask(FUSE_FALLOCATE, fallocate_in(4096, UINT64_MAX, kPunch));
    EXPECT_EQ(reply.error(), EINVAL);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, SeekingFindsDataAndHoles) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop, {.size = std::uint64_t{64} << 20U});
    co_await bench.open();
    const std::vector<std::byte> data(4096);
    constexpr std::uint64_t kAt = 40 << 20;
    co_await bench.kernel.ask(FUSE_WRITE, write_in(kAt, 4096), data);
    const auto seek = [&](std::uint64_t offset, int whence) {
      fuse_lseek_in in{};
      in.offset = offset;
      in.whence = static_cast<std::uint32_t>(whence);
      return bench.kernel.ask(FUSE_LSEEK, in);
    };
    Reply reply = co_await seek(0, SEEK_DATA);
    EXPECT_EQ(reply.as<fuse_lseek_out>().offset, kAt);
    reply = co_await seek(kAt, SEEK_HOLE);
    EXPECT_EQ(reply.as<fuse_lseek_out>().offset, kAt + 4096);
    reply = co_await seek(kAt + 4096, SEEK_DATA);
    EXPECT_EQ(reply.error(), ENXIO);
    reply = co_await seek(std::uint64_t{64} << 20U, SEEK_HOLE);
    EXPECT_EQ(reply.error(), ENXIO);
    reply = co_await seek(0, 99);
    EXPECT_EQ(reply.error(), EINVAL);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, AReadOnlyVolumeIsNotOpenedForWriting) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop, {.size = kVolume, .read_only = true});
    co_await bench.open();
    Reply reply = co_await bench.kernel.ask(FUSE_OPEN, fuse_open_in{O_RDWR, 0});
    EXPECT_EQ(reply.error(), EROFS);
    reply = co_await bench.kernel.ask(FUSE_OPEN, fuse_open_in{O_RDONLY, 0});
    EXPECT_EQ(reply.error(), 0);
    EXPECT_EQ(bench.session.open_files(), 1U);
    const std::vector<std::byte> data(4096);
    reply = co_await bench.kernel.ask(FUSE_WRITE, write_in(0, 4096), data);
    EXPECT_EQ(reply.error(), EROFS);
    reply = co_await bench.kernel.ask(FUSE_RELEASE, fuse_release_in{});
    EXPECT_EQ(bench.session.open_files(), 0U);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, AfterAnErrorWritesGetThatAndNotThatTheyAreNotPermitted) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop, {.size = kVolume, .failed = true});
    co_await bench.open();
    Reply reply = co_await bench.kernel.ask(FUSE_OPEN, fuse_open_in{O_RDWR, 0});
    EXPECT_EQ(reply.error(), 0);
    const std::vector<std::byte> data(4096);
    reply = co_await bench.kernel.ask(FUSE_WRITE, write_in(0, 4096), data);
    EXPECT_EQ(reply.error(), EIO);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, AFaultInOnePieceFailsTheWholeRequest) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    bench.service.fail_at(300'000, Errc::corrupt);
    const std::vector<std::byte> data(400'000);
    Reply reply = co_await bench.kernel.ask(FUSE_WRITE, write_in(0, 400'000), data);
    EXPECT_EQ(reply.error(), EIO);
    reply = co_await bench.kernel.ask(FUSE_READ, read_in(0, 400'000));
    EXPECT_EQ(reply.error(), EIO);
    reply = co_await bench.kernel.ask(FUSE_READ, read_in(0, 200'000));
    EXPECT_EQ(reply.error(), 0);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, TheFileIsNeverCutOff) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    fuse_setattr_in change{};
    change.valid = FATTR_SIZE;
    Reply reply = co_await bench.kernel.ask(FUSE_SETATTR, change);
    EXPECT_EQ(reply.error(), EPERM);
    change.size = kVolume;
    reply = co_await bench.kernel.ask(FUSE_SETATTR, change);
    EXPECT_EQ(reply.error(), 0);
    change.valid = FATTR_MODE;
    reply = co_await bench.kernel.ask(FUSE_SETATTR, change);
    EXPECT_EQ(reply.error(), EPERM);
    reply =
        co_await bench.kernel.ask(FUSE_UNLINK, std::array<char, 7>{"volume"}, {}, fuse::kRootNode);
    EXPECT_EQ(reply.error(), EPERM);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, MalformedRequestsAreRefused) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    // No body at all, of every kind; and none that anybody waits for.
    for (std::uint32_t opcode = 1; opcode <= 52; ++opcode) {
      if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_NOTIFY_REPLY) {
        bench.kernel.send(opcode);
        continue;
      }
      bench.kernel.send(opcode);
      const Reply reply = co_await bench.kernel.receive();
      EXPECT_LT(reply.error(), 512) << opcode;
    }
    // A write that says more or less than it has, a read of more than was agreed on.
    const std::vector<std::byte> data(100);
    constexpr std::array<std::size_t, 3> kSizes{99, 101, std::size_t{1} << 31U};
    for (const std::size_t size : kSizes) {
      const Reply reply = co_await bench.kernel.ask(FUSE_WRITE, write_in(0, size), data);
      EXPECT_EQ(reply.error(), EINVAL) << size;
    }
    const Reply reply = co_await bench.kernel.ask(FUSE_READ, read_in(0, fuse::kMostData + 1));
    EXPECT_EQ(reply.error(), EINVAL);
    EXPECT_EQ(bench.service.counts.writes, 0U);
    EXPECT_EQ(bench.service.counts.reads, 0U);
    EXPECT_TRUE(bench.session.is_serving());
    // What is no request ends the session.
    bench.kernel.send_raw(data);
    co_await bench.session.wait_until_gone();
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, NothingIsServedBeforeTheGreeting) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    EXPECT_TRUE(bench.session.begin(bench.kernel.take_session_end(), std::nullopt).ok());
    Reply reply = co_await bench.kernel.ask(FUSE_READ, read_in(0, 4096));
    EXPECT_EQ(reply.error(), EIO);
    fuse_init_in offer{};
    offer.major = FUSE_KERNEL_VERSION + 1;
    reply = co_await bench.kernel.ask(FUSE_INIT, offer);
    EXPECT_EQ(reply.as<fuse_init_out>().major, std::uint32_t{FUSE_KERNEL_VERSION});
    offer.major = FUSE_KERNEL_VERSION;
    offer.minor = fuse::kLeastMinor - 1;
    reply = co_await bench.kernel.ask(FUSE_INIT, offer);
    EXPECT_EQ(reply.error(), EPROTO);
    const bool is_greeted = co_await bench.session.wait_until_greeted();
    EXPECT_FALSE(is_greeted);
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, ShortRequestsAreAnsweredWhileManyWait) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop, {.size = kVolume}, 8);
    co_await bench.open();
    bench.service.hold();
    for (int i = 0; i < 3; ++i) bench.kernel.send(FUSE_READ, read_in(0, 4096));
    const std::uint64_t asked = bench.kernel.send(FUSE_GETATTR, fuse_getattr_in{});
    Reply reply = co_await bench.kernel.receive();
    EXPECT_EQ(reply.header.unique, asked);
    EXPECT_EQ(bench.service.counts.reads, 3U);
    // Half of the budget is what one client may have under way.
    for (int i = 0; i < 4; ++i) bench.kernel.send(FUSE_READ, read_in(0, 4096));
    const bool is_silent = co_await bench.kernel.is_silent();
    EXPECT_TRUE(is_silent);
    EXPECT_EQ(bench.service.counts.reads, 4U);
    bench.service.let_go();
    for (int i = 0; i < 7; ++i) {
      reply = co_await bench.kernel.receive();
      EXPECT_EQ(reply.error(), 0);
    }
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, AnEndFinishesWhatIsUnderWayAndRefusesTheRest) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    bench.service.hold();
    const std::vector<std::byte> data(4096, std::byte{1});
    const std::uint64_t begun = bench.kernel.send(FUSE_WRITE, write_in(0, 4096), data);
    while (bench.service.counts.writes == 0) co_await loop.next_turn();
    bench.session.refuse();
    Reply reply = co_await bench.kernel.ask(FUSE_READ, read_in(0, 4096));
    EXPECT_EQ(reply.error(), ESHUTDOWN);
    TaskGroup ending(loop);
    ending.start(bench.end());
    EXPECT_EQ(ending.running(), 1U);
    bench.service.let_go();
    reply = co_await bench.kernel.receive();
    EXPECT_EQ(reply.header.unique, begun);
    EXPECT_EQ(reply.error(), 0);
    co_await ending.wait();
    EXPECT_EQ(bench.service.bytes()[0], std::byte{1});
  });
}

TEST_F(FuseSessionTest, AMountThatGoesInTheMidstLeavesNothingBehind) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    co_await bench.open();
    bench.service.hold();
    const std::vector<std::byte> data(200'000);
    bench.kernel.send(FUSE_WRITE, write_in(0, data.size()), data);
    bench.kernel.send(FUSE_READ, read_in(0, 300'000));
    while (bench.service.counts.reads < 3) co_await loop.next_turn();
    bench.kernel.hang_up();
    co_await bench.session.wait_until_gone();
    bench.service.let_go();
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, TheNextSessionAsksAgainForWhatWasNotAnswered) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop);
    EXPECT_TRUE(bench.session.begin(bench.kernel.take_session_end(), FuseHandover{{}, 3}).ok());
    Reply reply = co_await bench.kernel.receive();
    EXPECT_EQ(reply.header.unique, 0U);
    EXPECT_EQ(reply.header.error, fuse::kNotifyResend);
    EXPECT_EQ(bench.session.open_files(), 3U);
    // Without a greeting it is in use.
    reply = co_await bench.kernel.ask(FUSE_READ, read_in(0, 4096));
    EXPECT_EQ(reply.error(), 0);
    reply = co_await bench.kernel.ask(FUSE_FSYNC, fuse_fsync_in{});
    EXPECT_EQ(reply.error(), EIO) << "something may be missing";
    reply = co_await bench.kernel.ask(FUSE_FSYNC, fuse_fsync_in{});
    EXPECT_EQ(reply.error(), 0) << "that is told once";
    co_await bench.end();
  });
}

TEST_F(FuseSessionTest, TheKernelIsToldOfANewSize) {
  run([](UringLoop& loop) -> Task<void> {
    SessionBench bench(loop, {.size = kVolume, .room = 2 * kVolume});
    co_await bench.open();
    bench.service.grow(2 * kVolume);
    bench.session.size_changed();
    Reply reply = co_await bench.kernel.receive();
    EXPECT_EQ(reply.header.error, FUSE_NOTIFY_INVAL_INODE);
    EXPECT_LT(reply.as<fuse_notify_inval_inode_out>().off, 0) << "attributes alone";
    reply = co_await bench.kernel.ask(FUSE_GETATTR, fuse_getattr_in{});
    EXPECT_EQ(reply.as<fuse_attr_out>().attr.size, 2 * kVolume);
    co_await bench.end();
  });
}

}  // namespace
}  // namespace uvdo
