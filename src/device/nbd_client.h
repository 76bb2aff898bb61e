// SPDX-License-Identifier: GPL-2.0-or-later
// One connection to an NBD server by libnbd, which never waits: who has it waits until its
// descriptor is ready, and tells it so.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <libnbd.h>

#include "base/result.h"
#include "device/device.h"

namespace uvdo {

/// What a server says of an export when it is connected to.
struct NbdExportOffer {
  std::uint64_t size = 0;  ///< bytes
  bool is_read_only = false;
  bool can_flush = false;
  bool can_fua = false;
  bool can_trim = false;
  bool can_zero = false;
  bool can_multi_conn = false;     ///< a flush of one connection covers the writes of all
  std::uint64_t least_block = 1;   ///< bytes; offsets and lengths are multiples of it
  std::uint64_t longest_data = 0;  ///< bytes that one read or write may have
};

/// One command on its way to a server.
struct NbdCommand {
  Device::Op op{};
  Durability durability = Durability::cached;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::byte* data = nullptr;  ///< of a read or write; there until it is answered
  int error = 0;              ///< errno, once it is answered
  void* owner = nullptr;
  class NbdClient* connection = nullptr;  ///< while it is under way
};

class NbdClient {
 public:
  enum class Phase : std::uint8_t {
    connecting,
    ready,
    leaving,  ///< the server has said that it ends; what is under way may be answered still
    broken,
  };

  /// Begins to connect; how it goes, phase() tells. Looking up a host's name may take its time.
  static std::unique_ptr<NbdClient> begin(const std::string& uri);
  /// Connects, and waits no longer than `patience`. invalid_argument: libnbd cannot read the URI;
  /// io: nobody listens there, has no such export, or does not answer.
  static Result<std::unique_ptr<NbdClient>> connect(const std::string& uri,
                                                    std::chrono::milliseconds patience);

  NbdClient(const NbdClient&) = delete;
  NbdClient& operator=(const NbdClient&) = delete;
  /// Tells the server that it ends, if nothing is under way.
  ~NbdClient();

  [[nodiscard]] Phase phase() const;
  /// Why it is broken, in libnbd's words.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] Error error(const std::string& uri) const;
  /// When it is ready.
  [[nodiscard]] NbdExportOffer look() const;

  [[nodiscard]] int fd() const;
  /// What to wait for at the descriptor: events of poll(2).
  [[nodiscard]] short events() const;
  /// Goes on, as far as it can without waiting, after poll(2) has told `events`.
  void go_on(short events);

  /// Sends a command. False: it cannot be sent, and `command.error` says why, or it is broken.
  bool send(NbdCommand& command);
  [[nodiscard]] std::size_t under_way() const { return under_way_.size(); }
  /// Whether the server may still carry out what it was asked for by this connection.
  [[nodiscard]] bool is_waited_for() const;
  /// Commands that the server has answered since the last call.
  std::vector<NbdCommand*> take_answered();
  /// Of one that is not waited for: the commands that nobody has carried out and answered.
  std::vector<NbdCommand*> take_unanswered();

 private:
  struct Close {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
  };
  NbdClient() = default;
  void note_trouble();

  std::vector<NbdCommand*> under_way_;
  std::string trouble_;
  int trouble_errno_ = 0;
  bool server_is_going_ = false;               // it has said so
  std::unique_ptr<nbd_handle, Close> handle_;  // goes first: it may call back
};

/// Waits until something is ready at one of the connections, at most that long, and has them go on.
/// Those that are broken are left out.
void wait_for(const std::vector<NbdClient*>& connections, std::chrono::milliseconds patience);

}  // namespace uvdo
