// SPDX-License-Identifier: GPL-2.0-or-later
// An NBD server for tests of who is its client, with an export in memory. Tests tell it to keep
// silent, to hang up, to fail and to become another one.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <endian.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace uvdo::testing {

class NbdTestServer {
 public:
  /// What it offers to those who connect from now on.
  struct Offer {
    std::uint64_t size = std::uint64_t{1} << 20U;
    bool flush = true;
    bool fua = false;
    bool multi_conn = true;  ///< else it speaks to one client, and lets others wait
    std::uint32_t least_block = 1;
    std::uint32_t longest_data = 64U << 10U;
  };

  explicit NbdTestServer(std::string path) : path_(std::move(path)), content_(kMost) {
    listener_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    unlink(path_.c_str());
    is_listening_ =
        bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        listen(listener_.get(), 16) == 0;
    accepting_ = std::thread([this] { accept_all(); });
  }
  NbdTestServer(const NbdTestServer&) = delete;
  NbdTestServer& operator=(const NbdTestServer&) = delete;
  ~NbdTestServer() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
      is_silent_ = false;
      keeps_more_ = false;
      for (const FileDescriptor& each : clients_) shutdown(each.get(), SHUT_RDWR);
    }
    changed_.notify_all();
    shutdown(listener_.get(), SHUT_RDWR);
    accepting_.join();
    for (std::thread& each : serving_) each.join();
    unlink(path_.c_str());
  }

  [[nodiscard]] std::string uri() const { return "nbd+unix:///?socket=" + path_; }
  [[nodiscard]] bool is_listening() const { return is_listening_; }
  void offer(const Offer& offer) {
    const std::lock_guard lock(mutex_);
    offer_ = offer;
  }
  /// Whether it keeps what it is asked for to itself, and answers later.
  void be_silent(bool is_silent) {
    const std::lock_guard lock(mutex_);
    is_silent_ = is_silent;
    keeps_more_ = is_silent;
    changed_.notify_all();
  }
  /// Answers what comes from now on, and not what it has kept.
  void answer_what_comes() {
    const std::lock_guard lock(mutex_);
    keeps_more_ = false;
  }
  /// Waits until it has kept so many requests to itself.
  bool wait_for_kept(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return kept_ >= count; });
  }
  /// Ends a connection; what it was asked for by that is never done.
  void hang_up(std::size_t client) {
    const std::lock_guard lock(mutex_);
    shutdown(clients_[client].get(), SHUT_RDWR);
    is_cut_[client] = true;
  }
  void fail_flushes(std::uint32_t error) {
    const std::lock_guard lock(mutex_);
    flush_error_ = error;
  }
  std::size_t connections() {
    const std::lock_guard lock(mutex_);
    return clients_.size();
  }
  std::size_t flushes() {
    const std::lock_guard lock(mutex_);
    return flushes_;
  }

 private:
  static constexpr std::uint64_t kMost = std::uint64_t{4} << 20U;
  enum class Option : std::uint32_t { abort = 2, go = 7 };
  enum class Reply : std::uint32_t { ack = 1, info = 3, unsupported = 0x8000'0001U };
  enum class Command : std::uint16_t { read = 0, write = 1, disconnect = 2, flush = 3 };

  /// Numbers as the protocol has them.
  class Message {
   public:
    Message& u16(std::uint16_t value) { return add(htobe16(value)); }
    Message& u32(std::uint32_t value) { return add(htobe32(value)); }
    Message& u64(std::uint64_t value) { return add(htobe64(value)); }
    Message& bytes(const std::byte* from, std::size_t count) {
      bytes_.insert(bytes_.end(), from, from + count);
      return *this;
    }
    bool send_to(int fd) const {
      return send(fd, bytes_.data(), bytes_.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(bytes_.size());
    }

   private:
    template <class T>
    Message& add(T value) {
      const auto* const at = reinterpret_cast<const std::byte*>(&value);
      return bytes(at, sizeof value);
    }
    std::vector<std::byte> bytes_;
  };

  static bool receive(int fd, void* to, std::size_t count) {
    return count == 0 || recv(fd, to, count, MSG_WAITALL) == static_cast<ssize_t>(count);
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      bool is_alone = false;
      std::size_t client = 0;
      {
        const std::lock_guard lock(mutex_);
        client = clients_.size();
        clients_.emplace_back(fd);
        is_cut_.push_back(false);
        if (is_ending_) return;
        is_alone = !offer_.multi_conn;
      }
      if (is_alone) {
        serve(fd, client);
      } else {
        serving_.emplace_back([this, fd, client] { serve(fd, client); });
      }
    }
  }

  void serve(int fd, std::size_t client) {
    if (negotiate(fd)) {
      while (answer(fd, client)) continue;
    }
    shutdown(fd, SHUT_RDWR);
  }

  bool negotiate(int fd) {
    constexpr std::uint64_t kMagic = 0x4e42444d41474943U;
    constexpr std::uint64_t kOptions = 0x49484156454F5054U;
    constexpr std::uint16_t kFixedWithoutZeroes = 3;
    std::uint32_t flags = 0;
    if (!Message().u64(kMagic).u64(kOptions).u16(kFixedWithoutZeroes).send_to(fd) ||
        !receive(fd, &flags, sizeof flags)) {
      return false;
    }
    for (;;) {
      struct [[gnu::packed]] {
        std::uint64_t magic;
        std::uint32_t option;
        std::uint32_t length;
      } head{};
      if (!receive(fd, &head, sizeof head)) return false;
      std::vector<std::byte> data(be32toh(head.length));
      if (!receive(fd, data.data(), data.size())) return false;
      const auto reply = [&](Reply type, std::uint32_t length) {
        constexpr std::uint64_t kReply = 0x3e889045565a9U;
        return std::move(Message()
                             .u64(kReply)
                             .u32(be32toh(head.option))
                             .u32(static_cast<std::uint32_t>(type))
                             .u32(length));
      };
      switch (Option{be32toh(head.option)}) {
        case Option::abort: return false;
        case Option::go: {
          const Offer offer = current();
          const unsigned can =
              1U | (offer.flush ? 4U : 0U) | (offer.fua ? 8U : 0U) | (offer.multi_conn ? 256U : 0U);
          return reply(Reply::info, 12)
                     .u16(0)
                     .u64(offer.size)
                     .u16(static_cast<std::uint16_t>(can))
                     .send_to(fd) &&
                 reply(Reply::info, 14)
                     .u16(3)
                     .u32(offer.least_block)
                     .u32(4096)
                     .u32(offer.longest_data)
                     .send_to(fd) &&
                 reply(Reply::ack, 0).send_to(fd);
        }
      }
      if (!reply(Reply::unsupported, 0).send_to(fd)) return false;
    }
  }

  bool answer(int fd, std::size_t client) {
    struct [[gnu::packed]] {
      std::uint32_t magic;
      std::uint16_t flags;
      std::uint16_t command;
      std::uint64_t cookie;
      std::uint64_t offset;
      std::uint32_t length;
    } asked{};
    if (!receive(fd, &asked, sizeof asked)) return false;
    const auto command = Command{be16toh(asked.command)};
    const std::uint64_t offset = be64toh(asked.offset);
    const std::uint32_t length = be32toh(asked.length);
    std::vector<std::byte> data(command == Command::write ? length : 0);
    if (command == Command::disconnect || !receive(fd, data.data(), data.size())) return false;
    std::unique_lock lock(mutex_);
    if (keeps_more_) {
      ++kept_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !is_silent_; });
    }
    if (is_ending_ || is_cut_[client]) return false;
    constexpr std::uint32_t kReply = 0x67446698;
    std::uint32_t error = 0;
    Message reply;
    if (command == Command::flush) {
      error = flush_error_;
      ++flushes_;
    }
    reply.u32(kReply).u32(error).bytes(reinterpret_cast<const std::byte*>(&asked.cookie),
                                       sizeof asked.cookie);
    if (command == Command::write) std::ranges::copy(data, content_.begin() + at(offset));
    if (command == Command::read) reply.bytes(content_.data() + offset, length);
    return reply.send_to(fd);
  }

  static std::ptrdiff_t at(std::uint64_t offset) { return static_cast<std::ptrdiff_t>(offset); }
  Offer current() {
    const std::lock_guard lock(mutex_);
    return offer_;
  }

  std::string path_;
  FileDescriptor listener_;
  bool is_listening_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  Offer offer_;
  std::vector<std::byte> content_;
  std::vector<FileDescriptor> clients_;  // all there were
  std::vector<bool> is_cut_;
  bool is_silent_ = false;
  bool keeps_more_ = false;
  bool is_ending_ = false;
  std::size_t kept_ = 0;
  std::size_t flushes_ = 0;
  std::uint32_t flush_error_ = 0;
  std::vector<std::thread> serving_;
  std::thread accepting_;
};

}  // namespace uvdo::testing
