// SPDX-License-Identifier: GPL-2.0-or-later
// What one client does to another: a watcher writes 4 KiB now and then, and tells how long each
// write took, while a load of one kind runs beside it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <semaphore>
#include <sstream>
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

using bench::fail;
using Clock = std::chrono::steady_clock;

// The longest range that a request can have in whole blocks.
constexpr std::uint32_t kLongest = 0xFFFFF000;
constexpr std::size_t kBlock = 4096;

struct Arguments {
  bench::Address address;
  bench::Address metrics;
  std::string control;
  std::string loads;
  double seconds = 5;
  bool json = false;
};

/// Requests of one kind, as many at a time as `depth` says.
struct Kind {
  nbd::Command command{};
  std::uint32_t length = 0;
  unsigned depth = 1;
  std::uint16_t flags = 0;
  bench::Replies replies = bench::Replies::simple;
};

const std::map<std::string, Kind> kKinds{
    {"extents", {nbd::Command::block_status, kLongest, 1024, 0, bench::Replies::with_extents}},
    {"zeroes", {nbd::Command::write_zeroes, kLongest, 256, nbd::kNoHole}},
    {"discards", {nbd::Command::trim, kLongest, 256}},
    {"reads of holes", {nbd::Command::read, 32U << 20U, 16}},
    {"unique writes", {nbd::Command::write, 1U << 20U, 16}},
    {"flushes", {nbd::Command::flush, 0, 1024}},
};

/// Where loads work; the watcher has the blocks below.
constexpr std::uint64_t kLoadOffset = std::uint64_t{4} << 30U;
constexpr std::uint64_t kHoleOffset = std::uint64_t{9} << 30U;

/// One client that keeps `depth` requests of a kind in flight: one thread sends, another takes
/// replies, so that neither waits for the other.
class Load {
 public:
  Load(const Arguments& arguments, const Kind& kind)
      : kind_(kind), fd_(bench::connect_to(arguments.address)), room_(kind.depth) {
    size_ = bench::negotiate(fd_, "", kind.replies);
    if (size_ < kHoleOffset + kLongest) fail("the volume is too small: it needs 14 GiB");
    receiver_ = std::thread([this] { receive(); });
    sender_ = std::thread([this] { send(); });
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() {
    over_ = true;
    shutdown(fd_, SHUT_RDWR);
    // Wakes the sender, which sees that it is over.
    room_.release(kind_.depth);
    sender_.join();
    receiver_.join();
    close(fd_);
  }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }

 private:
  void send() {
    std::vector<std::byte> out(nbd::kRequestSize +
                               (kind_.command == nbd::Command::write ? kind_.length : 0));
    auto stamp = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
    for (std::uint64_t n = 0;; ++n) {
      room_.acquire();
      if (over_) return;
      std::uint64_t offset = kLoadOffset;
      if (kind_.command == nbd::Command::read) offset = kHoleOffset;
      if (kind_.command == nbd::Command::flush) offset = 0;
      if (kind_.command == nbd::Command::write) {
        offset += n % 1024 * kind_.length;
        for (std::size_t at = nbd::kRequestSize; at + 8 <= out.size(); at += 8) {
          store_le64(out.data() + at, ++stamp * 0x9E3779B97F4A7C15U);
        }
      }
      nbd::encode_request({out.data(), nbd::kRequestSize},
                          {kind_.flags, kind_.command, n, offset, kind_.length});
      for (std::size_t sent = 0; sent < out.size();) {
        const ssize_t count = ::send(fd_, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) return;
        sent += static_cast<std::size_t>(count);
      }
    }
  }
  bool take(std::byte* to, std::size_t size) const {
    for (std::size_t got = 0; got < size;) {
      const ssize_t count = recv(fd_, to + got, size - got, 0);
      if (count <= 0) return false;
      got += static_cast<std::size_t>(count);
    }
    return true;
  }
  void receive() {
    const std::size_t data = kind_.command == nbd::Command::read ? kind_.length : 0;
    std::vector<std::byte> in(std::max<std::size_t>(data, 1U << 20U));
    for (;;) {
      bool is_last = true;
      if (kind_.replies == bench::Replies::simple) {
        if (!take(in.data(), nbd::kSimpleReplySize)) return;
        if (load_be32(in.data() + 4) != 0) fail("the server reports an error");
        if (kind_.command == nbd::Command::read && !take(in.data(), kind_.length)) return;
      } else {
        if (!take(in.data(), nbd::kStructuredReplySize)) return;
        is_last = (load_be16(in.data() + 4) & nbd::kChunkDone) != 0;
        if (!take(in.data(), load_be32(in.data() + 16))) return;
      }
      if (!is_last) continue;
      ++answered_;
      room_.release();
    }
  }

  const Kind& kind_;
  int fd_;
  std::uint64_t size_ = 0;
  std::counting_semaphore<> room_;
  std::atomic<bool> over_ = false;
  std::atomic<std::uint64_t> answered_ = 0;
  std::thread sender_;
  std::thread receiver_;
};

/// Four clients that do something short again and again.
class Storm {
 public:
  explicit Storm(const std::function<void()>& once) {
    for (int i = 0; i < 4; ++i) {
      threads_.emplace_back([this, once] {
        for (; !over_; ++done_) once();
      });
    }
  }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;
  ~Storm() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] std::uint64_t done() const { return done_; }

 private:
  std::atomic<bool> over_ = false;
  std::atomic<std::uint64_t> done_ = 0;
  std::vector<std::thread> threads_;
};

/// Says something to a server that answers and, where `until_end`, hangs up.
void ask(const bench::Address& address, const std::string& question, bool until_end) {
  const int fd = bench::connect_to(address);
  const auto bytes = std::as_bytes(std::span(question));
  bench::send_all(fd, bytes.data(), bytes.size());
  std::vector<char> in(1U << 16U);
  for (;;) {
    const ssize_t got = recv(fd, in.data(), in.size(), 0);
    if (got <= 0 || (!until_end && in[static_cast<std::size_t>(got) - 1] == '\n')) break;
  }
  close(fd);
}

/// Latencies of writes for so long, in microseconds, sorted.
std::vector<double> watch(const Arguments& arguments) {
  const int fd = bench::connect_to(arguments.address);
  bench::negotiate(fd, "", bench::Replies::simple);
  std::vector<double> latencies;
  std::vector<std::byte> out(nbd::kRequestSize + kBlock);
  std::array<std::byte, nbd::kSimpleReplySize> reply{};
  auto stamp = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
  const auto end = Clock::now() + std::chrono::duration<double>(arguments.seconds);
  while (Clock::now() < end) {
    // Data that are nowhere else, so that none of the writes is a duplicate.
    for (std::size_t at = nbd::kRequestSize; at < out.size(); at += 8) {
      store_le64(out.data() + at, ++stamp * 0xD6E8FEB86659FD93U);
    }
    nbd::encode_request({out.data(), nbd::kRequestSize},
                        {0, nbd::Command::write, 0, latencies.size() % 1000 * kBlock, kBlock});
    const auto begin = Clock::now();
    bench::send_all(fd, out.data(), out.size());
    bench::receive_all(fd, reply.data(), reply.size());
    latencies.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    if (load_be32(reply.data() + 4) != 0) fail("the server reports an error");
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  close(fd);
  std::sort(latencies.begin(), latencies.end());
  return latencies;
}

/// Runs a load beside the watcher; the number of its requests that were answered.
std::uint64_t run_load(const Arguments& arguments, const std::string& name,
                       std::vector<double>& latencies) {
  if (const auto kind = kKinds.find(name); kind != kKinds.end()) {
    if (name == "extents") {
      // What is asked for is there, and in memory.
      const Kind zeroes{nbd::Command::write_zeroes, kLongest, 1, nbd::kNoHole};
      const Load filling(arguments, zeroes);
      while (filling.answered() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const Load load(arguments, kind->second);
    latencies = watch(arguments);
    return load.answered();
  }
  std::function<void()> once;
  if (name == "connects") {
    once = [&] {
      const int fd = bench::connect_to(arguments.address);
      bench::negotiate(fd, "", bench::Replies::simple);
      close(fd);
    };
  } else if (name == "metrics") {
    once = [&] { ask(arguments.metrics, "GET /metrics HTTP/1.1\r\n\r\n", true); };
  } else if (name == "dumps") {
    const bench::Address control{arguments.control};
    once = [control] { ask(control, "{\"uvdo\": 1, \"command\": \"dump\"}\n", false); };
  } else if (name == "nothing") {
    latencies = watch(arguments);
    return 0;
  } else {
    fail("there is no load " + name);
  }
  const Storm storm(once);
  latencies = watch(arguments);
  return storm.done();
}

int run(int argc, char** argv) {
  Arguments arguments;
  uvdo::Arguments app("Measures what one NBD client does to another.", "fairness");
  app.option("--socket", arguments.address.socket_path, "path of a unix socket");
  app.option("--metrics", arguments.metrics.socket_path, "unix socket of the metrics");
  app.option("--control", arguments.control, "control socket");
  app.option(
      "--loads", arguments.loads,
      "which, separated by commas: nothing, extents, zeroes, discards, reads of holes, unique "
      "writes, flushes, connects, metrics, dumps");
  app.option("--seconds", arguments.seconds, "for each");
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = app.parse(argc, argv)) return *status;
  if (arguments.loads.empty()) {
    arguments.loads =
        "nothing,extents,zeroes,discards,reads of holes,unique writes,flushes,connects";
    if (!arguments.metrics.socket_path.empty()) arguments.loads += ",metrics";
    if (!arguments.control.empty()) arguments.loads += ",dumps";
  }
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  std::istringstream names(arguments.loads);
  for (std::string name; std::getline(names, name, ',');) {
    std::vector<double> latencies;
    const std::uint64_t answered = run_load(arguments, name, latencies);
    const auto at = [&](double p) {
      return latencies[static_cast<std::size_t>(p * static_cast<double>(latencies.size() - 1))];
    };
    results.push_back(
        {{"load", name},
         {"requests_per_second", static_cast<double>(answered) / arguments.seconds},
         {"writes", latencies.size()},
         {"latency_us",
          {{"p50", at(0.5)}, {"p99", at(0.99)}, {"p99.9", at(0.999)}, {"max", at(1)}}}});
    if (arguments.json) continue;
    fmt::print(
        "{:<16} {:>9.1f} requests/s; 4 KiB writes of another, us: p50 {:.0f} p99 {:.0f} "
        "p99.9 {:.0f} max {:.0f}\n",
        name, static_cast<double>(answered) / arguments.seconds, at(0.5), at(0.99), at(0.999),
        at(1));
    std::fflush(stdout);
  }
  if (arguments.json) fmt::print("{}\n", results.dump());
  return 0;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) { return uvdo::run(argc, argv); }
