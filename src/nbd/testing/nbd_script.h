// SPDX-License-Identifier: GPL-2.0-or-later
// Runs a whole NBD connection over given bytes in the simulation, and builds such bytes.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "async/sim_executor.h"
#include "block/testing/memory_block_service.h"
#include "nbd/nbd_connection.h"
#include "net/testing/script_stream.h"

namespace uvdo::testing {

/// The answer to EXPORT_NAME, behind the greeting and the replies to other options, in bytes.
inline constexpr std::size_t kExportAnswer = 10;

/// The bytes that a client sends.
class NbdScript {
 public:
  NbdScript& raw(ConstBytes bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  NbdScript& raw(std::string_view text) { return raw(std::as_bytes(std::span(text))); }
  NbdScript& be16(std::uint16_t v) {
    store_be16(extend(2), v);
    return *this;
  }
  NbdScript& be32(std::uint32_t v) {
    store_be32(extend(4), v);
    return *this;
  }
  NbdScript& be64(std::uint64_t v) {
    store_be64(extend(8), v);
    return *this;
  }
  NbdScript& flags(std::uint32_t value = 3) { return be32(value); }
  NbdScript& option(nbd::Option number, std::string_view data = {}) {
    be64(nbd::kOptionMagic).be32(static_cast<std::uint32_t>(number));
    return be32(static_cast<std::uint32_t>(data.size())).raw(data);
  }
  /// Chooses the only export; with structured replies and base:allocation if so asked.
  NbdScript& choose(bool structured) {
    flags();
    if (structured) {
      option(nbd::Option::structured_reply);
      option(nbd::Option::set_meta_context,
             std::string_view("\0\0\0\0\0\0\0\1\0\0\0\17base:allocation", 27));
    }
    return option(nbd::Option::export_name);
  }
  NbdScript& request(nbd::Command command, std::uint64_t offset, std::uint32_t length,
                     std::uint16_t flags = 0, std::uint64_t cookie = 7) {
    nbd::encode_request({extend(nbd::kRequestSize), nbd::kRequestSize},
                        {flags, command, cookie, offset, length});
    return *this;
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::byte* extend(std::size_t n) {
    bytes_.resize(bytes_.size() + n);
    return bytes_.data() + bytes_.size() - n;
  }
  std::vector<std::byte> bytes_;
};

struct NbdRun {
  struct Options {
    std::uint64_t size = std::uint64_t{1} << 20U;
    bool read_only = false;
    bool failed = false;
    bool refusing = false;  ///< it has no buffer for a write, and will have none
    std::size_t longest_piece = std::size_t{1} << 20U;
    std::uint64_t seed = 1;
    std::uint32_t server_requests = 32;
    std::uint64_t fail_at = UINT64_MAX;
    bool fail_reads_only = false;
    bool has_session = false;        ///< there is no handshake: it begins with requests
    bool first_flush_fails = false;  ///< clients of now may miss writes that they were answered
  };
  bool finished = false;          ///< the connection came to its end
  std::string why;                ///< if not
  std::string reason;             ///< why the server hung up
  bool said_goodbye = false;      ///< the client did
  std::vector<std::byte> output;  ///< all that it said
  MemoryBlockService::Counts counts;
};

/// Feeds `input` to a connection and returns what came of it.
inline NbdRun run_nbd(std::vector<std::byte> input, const NbdRun::Options& options = {}) {
  SimExecutorOptions sim;
  sim.seed = options.seed;
  SimExecutor executor(sim);
  RequestBudget budget(executor, options.server_requests);
  NbdServerMemory server(executor, 0, budget);
  MemoryBlockService::Options memory;
  memory.size = options.size;
  memory.read_only = options.read_only;
  memory.failed = options.failed;
  memory.buffer_bytes = std::uint64_t{4} << 20U;
  MemoryBlockService service(executor, memory);
  if (options.fail_at != UINT64_MAX) service.fail_at(options.fail_at, Errc::io);
  service.spare_writes(options.fail_reads_only);
  std::vector<Buffer> taken;
  if (options.refusing) {
    service.buffers().set_refusing(true);
    for (const std::size_t size : BufferPool::kSizes) {
      for (Buffer buffer = service.buffers().try_acquire(size); buffer.data() != nullptr;
           buffer = service.buffers().try_acquire(size)) {
        taken.push_back(std::move(buffer));
      }
    }
  }
  NbdExports exports;
  exports.add({"vol", "a volume", &service});
  NbdConnectionSettings settings;
  if (options.first_flush_fails) {
    settings.first_flush_fails_until = executor.now() + std::chrono::minutes(1);
  }
  ScriptStream stream(executor, std::move(input), options.longest_piece);
  NbdSession session;
  session.target = exports.find("vol");
  session.minimum_block = 512;
  std::optional<NbdConnection> connection;
  if (options.has_session) {
    connection.emplace(executor, stream, session, server, settings);
  } else {
    connection.emplace(executor, stream, exports, server, settings);
  }
  NbdRun run;
  const SimExecutor::Outcome outcome = executor.run(connection->run());
  check(outcome.finished, "a connection whose input ends comes to its end");
  run.finished = outcome.finished;
  run.why = outcome.why;
  run.reason = connection->reason();
  run.output = stream.output();
  run.counts = service.counts;
  run.said_goodbye = connection->has_said_goodbye();
  taken.clear();
  check(server.reads.bytes_in_use() == 0 && service.buffers().bytes_in_use() == 0,
        "a connection that has ended holds no buffers");
  check(budget.is_idle() && server.more_pieces.available() == NbdServerMemory::kMorePieces,
        "a connection that has ended holds no requests");
  return run;
}

}  // namespace uvdo::testing
