// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_server.h"

#include <fmt/core.h>

#include "control/json_in_turns.h"

namespace uvdo {
namespace {

/// Work to read a request, and what a usual command takes.
// In units of Executor::spend().
constexpr std::uint64_t kUnitsPerByteRead = 2;
constexpr std::uint64_t kUnitsPerCommand = 10'000;

constexpr Duration kSignOfLife = std::chrono::seconds(1);

}  // namespace

ControlServer::ControlServer(UringLoop& loop, Handler handler, TakeBack take_back,
                             DescriptorReserve* reserve, Duration silence)
    : loop_(loop),
      handler_(std::move(handler)),
      take_back_(std::move(take_back)),
      server_(loop, {kMaxControlClients, {}, silence, reserve},
              [this](SocketStream& stream, bool crowded) { return serve(stream, crowded); }) {}

Task<void> ControlServer::serve(SocketStream& stream, bool crowded) {
  std::string pending;
  std::string unread;  // the command whose reply the client may not have read
  std::array<char, 4096> buffer{};
  for (bool open = true; open;) {
    const iovec slice{buffer.data(), buffer.size()};
    const std::ptrdiff_t got = co_await stream.receive({&slice, 1});
    // The end of a client that leaves something unread is a reset.
    if (got >= 0) unread.clear();
    if (got <= 0) break;
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t end = 0;
    // All requests that have come are answered before more is received, so that a client that sends
    // many lines and reads nothing is held back by its socket.
    while (open) {
      std::string reply;
      end = pending.find('\n');
      if (crowded) {
        reply = refusal({Errc::busy, "too many clients use the control socket; try again later"});
        open = false;
      } else if (end != std::string::npos) {
        std::string line = pending.substr(0, end);
        pending.erase(0, end + 1);
        // Nobody would get the answer: nothing is done for it.
        if (stream.peer() == PeerState::gone) {  // whoever asked has given up
          pending.clear();
          break;
        }
        Answer answered = co_await answer(stream, std::move(line));
        reply = std::move(answered.reply);
        unread = std::move(answered.done);
      } else if (pending.size() > kMaxControlLine) {
        reply = refusal({Errc::protocol, fmt::format("a request is one line of at most {} bytes",
                                                     kMaxControlLine)});
        open = false;
      } else {
        break;
      }
      reply += '\n';
      iovec out{reply.data(), reply.size()};
      open = co_await stream.send({&out, 1}) == 0 && open;
    }
  }
  // The client went away with a reply on the way that it never read, of a request that was carried
  // out.
  if (!unread.empty() && take_back_) co_await take_back_(std::move(unread));
}

std::string ControlServer::refusal(const Error& error) { return json_text(error_reply(error)); }

Task<ControlServer::Answer> ControlServer::answer(SocketStream& stream, std::string line) {
  Alarm alarm(loop_);
  bool over = false;
  TaskGroup life(loop_);
  life.start(show_life(stream, alarm, over));
  Answer answered = co_await carry_out(std::move(line));
  over = true;
  alarm.ring();
  // The space that is being sent must be out before the reply: both go through the same stream.
  co_await life.wait();
  co_return answered;
}

Task<void> ControlServer::show_life(SocketStream& stream, Alarm& alarm, const bool& over) {
  while (true) {
    co_await alarm.sleep(kSignOfLife);
    if (over) break;
    char space = ' ';
    iovec out{&space, 1};
    if (co_await stream.send({&out, 1}) != 0) break;
  }
}

Task<ControlServer::Answer> ControlServer::carry_out(std::string line) {
  co_await loop_.next_turn();
  loop_.spend(kUnitsPerCommand + line.size() * kUnitsPerByteRead);
  auto request = parse_request(line);
  if (!request) co_return Answer{refusal(request.error()), ""};
  std::string name = request->command;
  auto result = co_await handler_(std::move(*request));
  if (!result) co_return Answer{refusal(result.error()), ""};
  // Long answers are written in turns, as they are larger than any request of a client.
  Json reply = result_reply(std::move(*result));
  std::string text = co_await json_text_in_turns(loop_, std::move(reply));
  co_return Answer{std::move(text), std::move(name)};
}

}  // namespace uvdo
