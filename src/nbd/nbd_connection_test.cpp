// SPDX-License-Identifier: GPL-2.0-or-later
// Whole connections by script: what a client sends is given, what the server says is looked at.
#include "nbd/nbd_connection.h"

#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "nbd/testing/nbd_script.h"

namespace uvdo {
namespace {

using nbd::Command;
using nbd::Option;
using nbd::WireError;
using testing::kExportAnswer;
using testing::NbdRun;
using testing::NbdScript;
using testing::run_nbd;

// Simple replies without data, behind a handshake of EXPORT_NAME alone: cookie to error.
std::map<std::uint64_t, WireError> simple_replies(ConstBytes output) {
  std::map<std::uint64_t, WireError> replies;
  ConstBytes bytes = output.subspan(nbd::kGreetingSize + kExportAnswer);
  while (bytes.size() >= nbd::kSimpleReplySize) {
    EXPECT_EQ(load_be32(bytes.data()), nbd::kSimpleReplyMagic);
    replies[load_be64(bytes.data() + 8)] = static_cast<WireError>(load_be32(bytes.data() + 4));
    bytes = bytes.subspan(nbd::kSimpleReplySize);
  }
  EXPECT_TRUE(bytes.empty());
  return replies;
}

std::map<std::uint64_t, WireError> simple_replies(const NbdRun& run) {
  return simple_replies(ConstBytes(run.output));
}

TEST(NbdConnection, AClientThatLeavesAtAnyByteLeavesNothingBehind) {
  NbdScript script;
  script.choose(true);
  script.request(Command::write, 1000, 40000, nbd::kFua).raw(std::string(40000, 'x'));
  script.request(Command::write, 1000, 500).raw(std::string(500, 'x'));
  script.request(Command::write, 1U << 30U, 500).raw(std::string(500, 'x'));  // is refused
  script.request(Command::read, 0, 300000);
  script.request(Command::block_status, 0, 1 << 20);
  script.request(Command::disconnect, 0, 0);
  const std::vector<std::byte>& whole = script.bytes();
  for (std::size_t size = 0; size <= whole.size(); size += size < 400 || size > 40000 ? 1 : 997) {
    // run_nbd checks that the connection ends, and that all buffers and requests are given back.
    run_nbd({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
  }
}

TEST(NbdConnection, WhoMayMissWritesIsToldByItsFirstFlush) {
  NbdScript script;
  script.choose(false);
  script.request(Command::write, 0, 4096, 0, 1).raw(std::string(4096, 'a'));
  script.request(Command::flush, 0, 0, 0, 2);
  script.request(Command::flush, 0, 0, 0, 3);
  NbdRun::Options options;
  options.first_flush_fails = true;
  options.server_requests = 1;  // one after the other
  auto replies = simple_replies(run_nbd(script.bytes(), options));
  EXPECT_EQ(replies.at(1), WireError::none);
  EXPECT_EQ(replies.at(2), WireError::eio);
  EXPECT_EQ(replies.at(3), WireError::none);
  replies = simple_replies(run_nbd(script.bytes()));
  EXPECT_EQ(replies.at(2), WireError::none);
}

TEST(NbdConnection, ItDoesNotMatterInWhatPiecesTheBytesArrive) {
  NbdScript script;
  script.choose(false);
  for (unsigned i = 0; i < 40; ++i) {
    const std::uint32_t length = i * 331 + (i % 7 == 0 ? 140000 : 1);
    script.request(Command::write, i * 1000, length, 0, i).raw(std::string(length, 'a'));
  }
  script.request(Command::flush, 0, 0, 0, 100);
  for (const std::size_t piece : {1UL, 27UL, 29UL, 4096UL, 100000UL, 1UL << 20U}) {
    NbdRun::Options options;
    options.longest_piece = piece;
    options.seed = piece;
    const auto replies = simple_replies(run_nbd(script.bytes(), options));
    EXPECT_EQ(replies.size(), 41U) << piece;
    for (const auto& [cookie, error] : replies) EXPECT_EQ(error, WireError::none) << cookie;
  }
}

TEST(NbdConnection, WhatIsReadIsWhatWasWritten) {
  NbdScript script;
  script.choose(false);
  std::string data;
  for (unsigned i = 0; i < 500000; ++i) data.push_back(static_cast<char>('a' + i % 23));
  script.request(Command::write, 12345, 500000).raw(data);
  NbdRun::Options options;
  options.server_requests = 1;  // so that the read comes after the write
  script.request(Command::read, 12345, 500000, 0, 8);
  const NbdRun run = run_nbd(script.bytes(), options);
  ASSERT_EQ(run.output.size(),
            nbd::kGreetingSize + kExportAnswer + 2 * nbd::kSimpleReplySize + data.size());
  EXPECT_EQ(0, std::memcmp(run.output.data() + run.output.size() - data.size(), data.data(),
                           data.size()));
}

// Of a session that was there before the connection: every byte belongs to a request or a reply.
TEST(NbdConnection, ASessionWithoutHandshakeBeginsWithRequests) {
  NbdScript script;
  script.request(Command::write, 4096, 8192, nbd::kFua, 1).raw(std::string(8192, 'w'));
  script.request(Command::flush, 0, 0, 0, 2);
  script.request(Command::trim, 65536, 4096, nbd::kFua, 3);
  script.request(Command::write_zeroes, 131072, 4096, nbd::kNoHole, 4);
  script.request(Command::write, 100, 512, 0, 5).raw(std::string(512, 'w'));  // of no block
  script.request(Command::read, 4096, 8192, 0, 6);
  script.request(Command::disconnect, 0, 0, 0, 7);
  NbdRun::Options options;
  options.has_session = true;
  options.server_requests = 1;  // so that the read comes after the write
  const NbdRun run = run_nbd(script.bytes(), options);
  EXPECT_EQ(run.reason, "");
  EXPECT_TRUE(run.said_goodbye);
  EXPECT_EQ(run.counts.writes, 1U);
  EXPECT_EQ(run.counts.fua_writes, 2U);
  EXPECT_EQ(run.counts.flushes, 1U);
  EXPECT_EQ(run.counts.discards, 1U);
  EXPECT_EQ(run.counts.zeroes, 1U);
  ASSERT_EQ(run.output.size(), 6 * nbd::kSimpleReplySize + 8192);
  for (std::uint64_t cookie = 1; cookie <= 6; ++cookie) {
    const std::byte* reply = run.output.data() + (cookie - 1) * nbd::kSimpleReplySize;
    EXPECT_EQ(load_be32(reply), nbd::kSimpleReplyMagic);
    const WireError error = cookie == 5 ? WireError::einval : WireError::none;
    EXPECT_EQ(static_cast<WireError>(load_be32(reply + 4)), error) << cookie;
    EXPECT_EQ(load_be64(reply + 8), cookie);
  }
  EXPECT_EQ(run.output.back(), std::byte{'w'});
}

TEST(NbdConnection, ASessionWithoutHandshakeIsHungUpOnForWhatIsNoRequest) {
  NbdScript script;
  script.request(Command::flush, 0, 0, 0, 1).raw(std::string(nbd::kRequestSize, 'x'));
  script.request(Command::flush, 0, 0, 0, 2);
  NbdRun::Options options;
  options.has_session = true;
  const NbdRun run = run_nbd(script.bytes(), options);
  EXPECT_EQ(run.reason, "the client sent something that is not an NBD request");
  EXPECT_FALSE(run.said_goodbye);
  EXPECT_EQ(run.output.size(), nbd::kSimpleReplySize);
  EXPECT_EQ(run.counts.flushes, 1U);
}

/// A connection of its own to a service and a server that others use too.
struct Client {
  Client(Executor& executor, const NbdScript& script, const NbdExports& exports,
         NbdServerMemory& server, const NbdConnectionSettings& settings)
      : stream(executor, script.bytes(), 1U << 20U),
        connection(executor, stream, exports, server, settings) {}
  testing::ScriptStream stream;
  NbdConnection connection;
};

TEST(NbdConnection, ClientsShareTheServersRequestsInTurn) {
  SimExecutorOptions sim;
  sim.seed = 5;
  SimExecutor executor(sim);
  RequestBudget budget(executor, 3);
  NbdServerMemory server(executor, 0, budget);
  testing::MemoryBlockService::Options memory;
  memory.size = 4U << 20U;
  testing::MemoryBlockService service(executor, memory);
  NbdExports exports;
  exports.add({"vol", "a volume", &service});
  NbdConnectionSettings settings;
  NbdScript script;
  script.choose(false);
  for (unsigned i = 0; i < 40; ++i) {
    script.request(Command::write, 1000, 300000, 0, i).raw(std::string(300000, 'a'));
    script.request(Command::flush, 0, 0, 0, 100 + i);
  }
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(executor, script, exports, server, settings));
  }
  const auto outcome = executor.run([](Executor& at, auto& all) -> Task<void> {
    TaskGroup running(at);
    for (const auto& client : all) running.start(client->connection.run());
    co_await running.wait();
  }(executor, clients));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  for (const auto& client : clients) {
    EXPECT_EQ(client->stream.output().size(),
              nbd::kGreetingSize + kExportAnswer + 80 * nbd::kSimpleReplySize);
  }
  EXPECT_TRUE(budget.is_idle());
  EXPECT_EQ(server.more_pieces.available(), NbdServerMemory::kMorePieces);
}

struct SharedServer {
  explicit SharedServer(std::uint32_t requests)
      : budget(executor, requests), memory(executor, 0, budget) {
    exports.add({"vol", "a volume", &service});
  }
  /// Lets what is ready go on until nothing is.
  Task<void> settle() {
    for (int i = 0; i < 2000; ++i) co_await executor.turn_end();
  }
  SimExecutor executor{{.seed = 5}};
  RequestBudget budget;
  NbdServerMemory memory;
  testing::MemoryBlockService service{executor, {.size = 1ULL << 40U, .null = true}};
  NbdExports exports;
  NbdConnectionSettings settings;
};

constexpr std::uint32_t kLong = 0xFFFFF000;
constexpr std::uint64_t kPiecesOfLong = 64;

TEST(NbdConnection, LongRequestsOfAClientThatHasLeftEndBetweenTheirPieces) {
  for (const bool says_goodbye : {false, true}) {
    SharedServer server(64);
    NbdScript script;
    script.choose(false);
    for (unsigned i = 0; i < 20; ++i) script.request(Command::write_zeroes, 0, kLong, 0, i);
    script.request(Command::write_zeroes, 0, 4096, 0, 20);
    if (says_goodbye) script.request(Command::disconnect, 0, 0);
    Client client(server.executor, script, server.exports, server.memory, server.settings);
    server.service.hold_zeroes();
    const auto outcome = server.executor.run([](SharedServer& at, Client& one) -> Task<void> {
      TaskGroup running(at.executor);
      running.start(one.connection.run());
      co_await at.settle();
      at.service.let_go();
      co_await running.wait();
    }(server, client));
    EXPECT_TRUE(outcome.finished) << outcome.why;
    // Who has said goodbye waits for what it asked for.
    if (says_goodbye) {
      EXPECT_EQ(server.service.counts.zeroes, 20 * kPiecesOfLong + 1);
    } else {
      EXPECT_LE(server.service.counts.zeroes, 9U);
    }
    EXPECT_EQ(server.budget.long_slots_left(), 32U);
  }
}

TEST(NbdConnection, LongRequestsEndBetweenTheirPiecesWhenTheServerStops) {
  SharedServer server(64);
  NbdScript script;
  script.choose(false);
  for (unsigned i = 0; i < 20; ++i) script.request(Command::write_zeroes, 0, kLong, 0, i);
  script.request(Command::disconnect, 0, 0);
  Client client(server.executor, script, server.exports, server.memory, server.settings);
  server.service.hold_zeroes();
  const auto outcome = server.executor.run([](SharedServer& at, Client& one) -> Task<void> {
    TaskGroup running(at.executor);
    running.start(one.connection.run());
    co_await at.settle();
    one.connection.begin_shutdown();
    at.service.let_go();
    co_await running.wait();
  }(server, client));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_LE(server.service.counts.zeroes, 8U);
  const auto replies = simple_replies(ConstBytes(client.stream.output()));
  EXPECT_EQ(replies.size(), 20U);
  for (const auto& [cookie, error] : replies) EXPECT_EQ(error, WireError::eshutdown) << cookie;
}

TEST(NbdConnection, LongRequestsLeaveOthersTheirSlots) {
  SharedServer server(4);
  NbdScript hostile;
  hostile.choose(false);
  for (unsigned i = 0; i < 20; ++i) hostile.request(Command::write_zeroes, 0, kLong, 0, i);
  NbdScript friendly;
  friendly.choose(false);
  for (unsigned i = 0; i < 20; ++i) {
    friendly.request(Command::write, 0, 4096, 0, i).raw(std::string(4096, 'a'));
  }
  friendly.request(Command::disconnect, 0, 0);
  Client a(server.executor, hostile, server.exports, server.memory, server.settings);
  Client b(server.executor, hostile, server.exports, server.memory, server.settings);
  Client c(server.executor, friendly, server.exports, server.memory, server.settings);
  server.service.hold_zeroes();
  const auto outcome =
      server.executor.run([](SharedServer& at, Client& x, Client& y, Client& z) -> Task<void> {
        TaskGroup running(at.executor);
        running.start(x.connection.run());
        running.start(y.connection.run());
        co_await at.settle();
        co_await z.connection.run();
        at.service.let_go();
        co_await running.wait();
      }(server, a, b, c));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(simple_replies(ConstBytes(c.stream.output())).size(), 20U);
}

TEST(NbdConnection, AReadThatIsTooLongForMemoryIsSentInParts) {
  constexpr std::uint32_t kLength = nbd::kMaxPayload;
  NbdScript script;
  script.choose(false);
  std::string data;
  for (unsigned i = 0; i < 100000; ++i) data.push_back(static_cast<char>('a' + i % 23));
  const std::uint64_t offset = 12345;
  const std::vector<std::uint64_t> places{offset, offset + (8U << 20U) - 50000,
                                          offset + kLength - 100000};
  for (const std::uint64_t at : places) script.request(Command::write, at, 100000).raw(data);
  script.request(Command::read, offset, kLength, 0, 8);
  script.request(Command::flush, 0, 0, 0, 9);
  for (const std::uint64_t fault :
       {UINT64_MAX, offset + 5000, offset + (std::uint64_t{40} << 20U)}) {
    NbdRun::Options options;
    options.size = 80ULL << 20U;
    options.server_requests = 1;
    options.fail_at = fault;
    if (fault == places[0] + 5000) options.fail_reads_only = true;
    const NbdRun run = run_nbd(script.bytes(), options);
    ConstBytes bytes =
        ConstBytes(run.output)
            .subspan(nbd::kGreetingSize + kExportAnswer + places.size() * nbd::kSimpleReplySize);
    ASSERT_GE(bytes.size(), nbd::kSimpleReplySize);
    EXPECT_EQ(load_be64(bytes.data() + 8), 8U);
    const auto error = static_cast<WireError>(load_be32(bytes.data() + 4));
    if (fault == offset + 5000) {
      // Nothing has been sent: the error is told, and the connection goes on.
      EXPECT_EQ(error, WireError::eio);
      EXPECT_EQ(bytes.size(), 2 * nbd::kSimpleReplySize);
      EXPECT_EQ(run.reason, "");
      continue;
    }
    EXPECT_EQ(error, WireError::none);
    bytes = bytes.subspan(nbd::kSimpleReplySize);
    if (fault != UINT64_MAX) {
      EXPECT_LT(bytes.size(), std::size_t{kLength});
      EXPECT_NE(run.reason, "");
      continue;
    }
    ASSERT_EQ(bytes.size(), std::size_t{kLength} + nbd::kSimpleReplySize);
    for (const std::uint64_t at : places) {
      EXPECT_EQ(std::memcmp(bytes.data() + (at - offset), data.data(), data.size()), 0) << at;
    }
    EXPECT_EQ(load_be64(bytes.data() + kLength + 8), 9U);
  }
}

TEST(NbdConnection, RefusedWritesAreConsumedAndTheConnectionGoesOn) {
  NbdScript script;
  script.choose(false);
  script.request(Command::write, 1 << 20, 200000, 0, 1).raw(std::string(200000, 'x'));
  script.request(Command::write, 0, 10, 1 << 7, 2).raw("0123456789");
  script.request(static_cast<Command>(77), 0, 0, 0, 3);
  script.request(Command::write, 0, 10, 0, 4).raw("0123456789");
  const NbdRun run = run_nbd(script.bytes());
  const std::map<std::uint64_t, WireError> expected{
      {1, WireError::enospc}, {2, WireError::einval}, {3, WireError::einval}, {4, WireError::none}};
  EXPECT_EQ(simple_replies(run), expected);
  EXPECT_EQ(run.counts.writes, 1U);
}

TEST(NbdConnection, AReadOnlyExportTakesNoWrites) {
  NbdScript script;
  script.choose(false);
  script.request(Command::write, 0, 4096, 0, 1).raw(std::string(4096, 'x'));
  script.request(Command::trim, 0, 4096, 0, 2);
  script.request(Command::write_zeroes, 0, 4096, 0, 3);
  NbdRun::Options options;
  options.read_only = true;
  const NbdRun run = run_nbd(script.bytes(), options);
  const std::map<std::uint64_t, WireError> expected{
      {1, WireError::eperm}, {2, WireError::eperm}, {3, WireError::eperm}};
  EXPECT_EQ(simple_replies(run), expected);
  EXPECT_EQ(run.counts.writes + run.counts.discards + run.counts.zeroes, 0U);
}

TEST(NbdConnection, AfterAnErrorWritesGetThatAndNotThatTheyAreNotPermitted) {
  NbdScript script;
  script.choose(false);
  script.request(Command::write, 0, 4096, 0, 1).raw(std::string(4096, 'x'));
  NbdRun::Options options;
  options.failed = true;
  const NbdRun run = run_nbd(script.bytes(), options);
  const std::map<std::uint64_t, WireError> expected{{1, WireError::eio}};
  EXPECT_EQ(simple_replies(run), expected);
}

TEST(NbdConnection, WritesForWhichThereIsNoBufferAreRefusedAndOthersGoOn) {
  constexpr std::uint32_t kLarge = 300'000;  // in three pieces
  NbdScript script;
  script.choose(false);
  script.request(Command::write, 0, 4096, 0, 1).raw(std::string(4096, 'x'));
  script.request(Command::write, 0, kLarge, 0, 2).raw(std::string(kLarge, 'y'));
  script.request(Command::flush, 0, 0, 0, 3);
  NbdRun::Options options;
  options.refusing = true;
  const NbdRun run = run_nbd(script.bytes(), options);
  const std::map<std::uint64_t, WireError> expected{
      {1, WireError::enospc}, {2, WireError::enospc}, {3, WireError::none}};
  EXPECT_EQ(simple_replies(run), expected);
  EXPECT_EQ(run.counts.writes, 0U);
}

TEST(NbdConnection, AStructuredReadIsCoveredByItsChunksExactlyOnce) {
  NbdScript script;
  script.flags().option(Option::structured_reply).option(Option::export_name);
  script.request(Command::write, 200000, 100000).raw(std::string(100000, 'x'));
  script.request(Command::read, 1000, 700000, 0, 9);
  for (const std::uint64_t fault : {UINT64_MAX, std::uint64_t{600000}}) {
    NbdRun::Options options;
    options.server_requests = 1;
    options.fail_at = fault;
    const NbdRun run = run_nbd(script.bytes(), options);
    ConstBytes bytes = ConstBytes(run.output)
                           .subspan(nbd::kGreetingSize + nbd::kOptionReplyHeaderSize +
                                    kExportAnswer + nbd::kSimpleReplySize);
    std::map<std::uint64_t, std::uint64_t> covered;
    bool done = false;
    unsigned errors = 0;
    while (!bytes.empty()) {
      ASSERT_FALSE(done);
      ASSERT_EQ(load_be32(bytes.data()), nbd::kStructuredReplyMagic);
      done = load_be16(bytes.data() + 4) == nbd::kChunkDone;
      const auto type = static_cast<nbd::ChunkType>(load_be16(bytes.data() + 6));
      EXPECT_EQ(load_be64(bytes.data() + 8), 9U);
      const std::uint32_t length = load_be32(bytes.data() + 16);
      const std::byte* payload = bytes.data() + nbd::kStructuredReplySize;
      if (type == nbd::ChunkType::offset_data) {
        covered[load_be64(payload)] = length - 8;
      } else if (type == nbd::ChunkType::offset_hole) {
        covered[load_be64(payload)] = load_be32(payload + 8);
      } else {
        ASSERT_EQ(type, nbd::ChunkType::error_offset);
        ++errors;
        EXPECT_EQ(load_be32(payload), static_cast<std::uint32_t>(WireError::eio));
        EXPECT_EQ(load_be64(payload + length - 8), std::uint64_t{524288});
        covered[524288] = 131072;
      }
      bytes = bytes.subspan(nbd::kStructuredReplySize + length);
    }
    EXPECT_TRUE(done);
    EXPECT_EQ(errors, fault == UINT64_MAX ? 0U : 1U);
    std::uint64_t at = 1000;
    for (const auto& [offset, length] : covered) {
      EXPECT_EQ(offset, at);
      at += length;
    }
    EXPECT_EQ(at, 701000U);
  }
}

TEST(NbdConnection, ABrokenStreamEndsTheConnectionWithAReason) {
  const std::vector<NbdScript> scripts{
      NbdScript().flags(0x10),
      NbdScript().flags().raw("GET / HTTP/1.1\r\n"),
      NbdScript().flags().option(Option::export_name, "nothing"),
      NbdScript().flags().option(Option::export_name, std::string(5000, 'x')),
      NbdScript().flags().be64(nbd::kOptionMagic).be32(3).be32(0x7FFFFFFF),
      NbdScript().choose(false).raw(std::string(28, 'x')),
      NbdScript().choose(true).request(Command::write, 0, nbd::kMaxPayload + 1),
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    EXPECT_FALSE(run_nbd(scripts[i].bytes()).reason.empty()) << i;
  }
}

TEST(NbdConnection, OptionsWithoutEndAreCutOff) {
  NbdScript script;
  script.flags();
  for (unsigned i = 0; i < nbd::kMaxOptions + 5; ++i) script.option(Option::list);
  EXPECT_EQ(run_nbd(script.bytes()).reason, "the client sent options without end");
}

TEST(NbdConnection, TheCorpusOfTheFuzzerRunsToItsEnd) {
  const std::filesystem::path folder =
      std::filesystem::path(UVDO_SOURCE_DIR) / "tests/fuzz/corpus/nbd";
  unsigned count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text)).subspan(1);
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      NbdRun::Options options;
      options.seed = seed;
      options.longest_piece = seed * 1000;
      EXPECT_TRUE(run_nbd({bytes.begin(), bytes.end()}, options).finished) << entry.path();
    }
    ++count;
  }
  EXPECT_GE(count, 10U);
}

}  // namespace
}  // namespace uvdo
