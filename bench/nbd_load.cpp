// SPDX-License-Identifier: GPL-2.0-or-later
// A load generator for NBD servers that is cheap enough to measure them: it sends as many requests
// as the depth allows in one system call and takes all replies that have come in another. Prints
// rate, latencies and, given a process id, the server's processor time for each request.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments/arguments.h"
#include "nbd/nbd_protocol.h"
#include "nbd_client.h"

namespace uvdo {
namespace {

using Clock = std::chrono::steady_clock;

using bench::fail;
using bench::send_all;

struct Arguments {
  bench::Address address;
  std::string export_name;
  unsigned connections = 1;
  unsigned depth = 64;
  std::uint32_t size = 4096;
  unsigned read_percent = 100;
  double seconds = 3;
  bool sequential = false;
  bool structured = false;
  bool polling = false;
  bool json = false;
  int pid = 0;
};

/// One connection, in a thread of its own. The cookie of a request is its slot, so that its reply
/// tells when it was sent and whether data follow.
class Connection {
 public:
  Connection(const Arguments& arguments, unsigned number)
      : arguments_(arguments), random_(number + 1), sent_at_(arguments.depth) {
    fd_ = bench::connect_to(arguments.address);
    const int buffer = 1 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    const auto replies = arguments.structured ? bench::Replies::structured : bench::Replies::simple;
    blocks_ = bench::negotiate(fd_, arguments.export_name, replies) / arguments.size;
    if (blocks_ == 0) fail("the export is smaller than a request");
    next_block_ = blocks_ / arguments.connections * number;
    out_.resize(arguments.depth * (nbd::kRequestSize + arguments.size));
    in_.resize(std::max<std::size_t>(std::size_t{1} << 20U, 4 * (arguments.size + 64)));
    for (std::size_t i = 0; i < out_.size(); ++i) out_[i] = static_cast<std::byte>(random_());
    // Also between two runs, and between connections.
    stamp_ = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) << 8U | number;
    is_read_.resize(arguments.depth);
    for (unsigned i = 0; i < arguments.depth; ++i) free_.push_back(i);
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void run(Clock::time_point end) {
    while (Clock::now() < end) {
      send_requests();
      take_replies();
    }
    // Servers are left in good order: some don't survive a client that is gone all of a sudden.
    while (free_.size() < arguments_.depth) take_replies();
    nbd::encode_request({out_.data(), nbd::kRequestSize}, {0, nbd::Command::disconnect, 0, 0, 0});
    send_all(fd_, out_.data(), nbd::kRequestSize);
  }
  [[nodiscard]] std::uint64_t done() const { return latencies_.size(); }
  [[nodiscard]] std::vector<float>& latencies() { return latencies_; }

 private:
  void send_requests() {
    const auto now = Clock::now();
    std::byte* at = out_.data();
    while (!free_.empty()) {
      const unsigned slot = free_.back();
      free_.pop_back();
      const bool read = random_() % 100 < arguments_.read_percent;
      const std::uint64_t block =
          arguments_.sequential ? next_block_++ % blocks_ : random_() % blocks_;
      is_read_[slot] = read;
      sent_at_[slot] = now;
      const nbd::RequestHeader header{0, read ? nbd::Command::read : nbd::Command::write, slot,
                                      block * arguments_.size, arguments_.size};
      nbd::encode_request({at, nbd::kRequestSize}, header);
      at += nbd::kRequestSize;
      if (!read) {
        // Noise that is in the buffer already, and no two blocks the same.
        for (std::size_t i = 0; i < arguments_.size; i += 4096) store_le64(at + i, ++stamp_);
        at += arguments_.size;
      }
    }
    send_all(fd_, out_.data(), static_cast<std::size_t>(at - out_.data()));
  }

  void take_replies() {
    if (end_ == in_.size()) fail("a reply is too long");
    ssize_t count = 0;
    do {
      count =
          recv(fd_, in_.data() + end_, in_.size() - end_, arguments_.polling ? MSG_DONTWAIT : 0);
    } while (count < 0 && errno == EAGAIN);
    if (count <= 0) fail("the server hung up");
    end_ += static_cast<std::size_t>(count);
    const auto now = Clock::now();
    std::size_t at = 0;
    while (end_ - at >= nbd::kStructuredReplySize - (arguments_.structured ? 0 : 4)) {
      const std::byte* reply = in_.data() + at;
      const bool chunk = load_be32(reply) == nbd::kStructuredReplyMagic;
      const auto slot = static_cast<unsigned>(load_be64(reply + 8));
      std::size_t length = nbd::kSimpleReplySize;
      bool last = true;
      if (chunk) {
        if (end_ - at < nbd::kStructuredReplySize) break;
        length = nbd::kStructuredReplySize + load_be32(reply + 16);
        last = (load_be16(reply + 4) & nbd::kChunkDone) != 0;
        if (load_be16(reply + 6) >= 0x8000) fail("the server reports an error");
      } else {
        if (load_be32(reply) != nbd::kSimpleReplyMagic) fail("not a reply");
        if (load_be32(reply + 4) != 0) fail("the server reports an error");
        if (is_read_[slot]) length += arguments_.size;
      }
      if (end_ - at < length) break;
      at += length;
      if (!last) continue;
      free_.push_back(slot);
      latencies_.push_back(std::chrono::duration<float, std::micro>(now - sent_at_[slot]).count());
    }
    std::memmove(in_.data(), in_.data() + at, end_ - at);
    end_ -= at;
  }

  const Arguments& arguments_;
  std::minstd_rand random_;
  int fd_ = -1;
  std::uint64_t blocks_ = 0;
  std::uint64_t next_block_ = 0;
  std::uint64_t stamp_ = 0;
  std::vector<std::byte> out_;
  std::vector<std::byte> in_;
  std::size_t end_ = 0;
  std::vector<unsigned> free_;
  std::vector<char> is_read_;
  std::vector<Clock::time_point> sent_at_;
  std::vector<float> latencies_;
};

// User and system time of a process, microseconds.
double processor_time_us(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t paren = text.rfind(')');
  if (paren == std::string::npos) fail("no such process");
  std::istringstream fields(text.substr(paren + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int run(int argc, char** argv) {
  Arguments arguments;
  uvdo::Arguments app("Loads an NBD server.", "nbd_load");
  app.option("--socket", arguments.address.socket_path, "path of a unix socket");
  app.option("--port", arguments.address.port, "TCP port of this machine");
  app.option("--export", arguments.export_name);
  app.option("--connections", arguments.connections);
  app.option("--depth", arguments.depth, "requests in flight on each connection");
  app.option("--size", arguments.size, "bytes of a request");
  app.option("--read-percent", arguments.read_percent);
  app.option("--seconds", arguments.seconds);
  app.flag("--sequential", arguments.sequential);
  app.flag("--structured", arguments.structured, "ask for structured replies");
  app.flag("--polling", arguments.polling,
           "stay awake for replies, so that latencies are the server's and not those of waking up");
  app.flag("--json", arguments.json, "print JSON");
  app.option("--pid", arguments.pid, "process of the server");
  if (auto status = app.parse(argc, argv)) return *status;

  std::vector<std::unique_ptr<Connection>> connections;
  for (unsigned i = 0; i < arguments.connections; ++i) {
    connections.push_back(std::make_unique<Connection>(arguments, i));
  }
  const double server_before = arguments.pid != 0 ? processor_time_us(arguments.pid) : 0;
  const std::clock_t own_before = std::clock();
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(arguments.seconds));
  std::vector<std::thread> threads;
  for (const auto& connection : connections) {
    threads.emplace_back([&connection, end] { connection->run(end); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double own_us =
      static_cast<double>(std::clock() - own_before) * 1e6 / static_cast<double>(CLOCKS_PER_SEC);
  std::vector<float> latencies;
  for (const auto& connection : connections) {
    latencies.insert(latencies.end(), connection->latencies().begin(),
                     connection->latencies().end());
  }
  if (latencies.empty()) fail("no request was answered");
  std::sort(latencies.begin(), latencies.end());
  const auto count = static_cast<double>(latencies.size());
  const auto percentile = [&](double p) {
    return latencies[static_cast<std::size_t>(p * (count - 1))];
  };
  const double server_us =
      arguments.pid != 0 ? (processor_time_us(arguments.pid) - server_before) / count : 0;
  if (arguments.json) {
    const nlohmann::ordered_json figures{
        {"requests_per_second", count / seconds},
        {"bytes_per_second", count * arguments.size / seconds},
        {"latency_us",
         {{"p50", percentile(0.5)}, {"p99", percentile(0.99)}, {"p99.9", percentile(0.999)}}},
        {"client_us_per_request", own_us / count},
        {"server_us_per_request", server_us}};
    fmt::print("{}\n", figures.dump());
    return 0;
  }
  fmt::print(
      "{:.0f} IOPS, {:.0f} MB/s; latency us p50 {:.0f} p99 {:.0f} p99.9 {:.0f}; client {:.2f} "
      "us/op",
      count / seconds, count * arguments.size / seconds / 1e6, percentile(0.5), percentile(0.99),
      percentile(0.999), own_us / count);
  if (arguments.pid != 0) fmt::print("; server {:.2f} us/op", server_us);
  fmt::print("\n");
  return 0;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::run(argc, argv); }
