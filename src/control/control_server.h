// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket of a served volume: a line of JSON in, a line of JSON out, any number of
// clients (control_protocol.h).
// While a request is worked on, a space is sent each second: who waits sees that the server lives.
// A connection on which nothing moves for a minute is closed, so that forgotten ones do not pile
// up.
#pragma once

#include <functional>
#include <string>

#include "control/control_protocol.h"
#include "net/client_server.h"

namespace uvdo {

inline constexpr std::size_t kMaxControlLine = 64U << 10U;  ///< of a request
inline constexpr std::size_t kMaxControlClients = 256;      ///< more are told to come back
inline constexpr Duration kLongestControlSilence = std::chrono::seconds(60);

/// A client's requests are answered one after the other, those of different clients at the same
/// time: a handler that must not be entered twice sees to that itself. Made, start(), shutdown(),
/// which has to end before this is destroyed.
class ControlServer {
 public:
  /// Answers one request.
  using Handler = std::function<Task<Result<Json>>(ControlRequest request)>;
  /// Undoes a request that was carried out, if its client cannot know that: it went away before it
  /// had read the reply.
  using TakeBack = std::function<Task<void>(std::string command)>;

  /// `reserve`: descriptors for its clients when there are no others; must outlive it.
  ControlServer(UringLoop& loop, Handler handler, TakeBack take_back = nullptr,
                DescriptorReserve* reserve = nullptr, Duration silence = kLongestControlSilence);

  /// Listens on the unix socket at `path` and begins to answer.
  void start(std::vector<ListeningSocket> sockets) { server_.start(std::move(sockets)); }
  /// Ends all connections, after the replies under way; then nothing of it runs any more. A client
  /// that does not take its reply is given a second.
  Task<void> shutdown() { return server_.shutdown(); }
  [[nodiscard]] std::size_t clients() const { return server_.clients(); }
  /// Bytes of memory that clients can make it take for what they ask.
  static constexpr std::uint64_t kMemoryBound = kMaxControlClients * (kMaxControlLine + 8192);

 private:
  Task<void> serve(SocketStream& stream, bool crowded);
  /// A reply, and the command that was carried out, if one was.
  struct Answer {
    std::string reply;
    std::string done;
  };
  /// Carries a request out, with signs of life until it is done.
  Task<Answer> answer(SocketStream& stream, std::string line);
  Task<Answer> carry_out(std::string line);
  /// Sends a space each second until `over`; ends early where the client takes none any more.
  Task<void> show_life(SocketStream& stream, Alarm& alarm, const bool& over);
  static std::string refusal(const Error& error);

  UringLoop& loop_;
  Handler handler_;
  TakeBack take_back_;
  ClientServer server_;
};

}  // namespace uvdo
