// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_server.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/testing/temporary_folder.h"
#include "net/testing/unix_socket.h"

namespace uvdo {
namespace {

/// A control server in a folder of its own, and what it was asked and made to take back.
class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() {
    auto loop = UringLoop::create();
    EXPECT_TRUE(loop.ok());
    loop_ = std::move(*loop);
  }

  [[nodiscard]] FileDescriptor connect_and_ask(std::string_view command) const {
    FileDescriptor client = testing::connect_to(path());
    EXPECT_TRUE(client);
    const std::string line = request_text({std::string(command)}) + "\n";
    EXPECT_EQ(send(client.get(), line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
    return client;
  }

  [[nodiscard]] std::string path() const { return folder_.path("socket"); }
  void listen(ControlServer& server) const {
    auto sockets = ListeningSocket::open({SocketAddress::Kind::unix_path, path(), {}});
    ASSERT_TRUE(sockets.ok());
    server.start(std::move(*sockets));
  }

  /// Serves until `is_over`, which is asked again and again in the loop.
  void serve(ControlServer& server, const std::function<bool()>& is_over) {
    loop_->run(
        [](UringLoop& loop, ControlServer& what, const std::function<bool()>& over) -> Task<void> {
          Alarm alarm(loop);
          while (!over()) co_await alarm.sleep(std::chrono::milliseconds(1));
          co_await what.shutdown();
        }(*loop_, server, is_over));
  }

  ControlServer::Handler noting_handler() {
    return [this](ControlRequest request) -> Task<Result<Json>> {
      asked_.push_back(std::move(request.command));
      co_return Json::object();
    };
  }
  ControlServer::TakeBack noting_take_back() {
    return [this](std::string command) -> Task<void> {
      taken_back_.push_back(std::move(command));
      co_return;
    };
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<UringLoop> loop_;
  std::vector<std::string> asked_;
  std::vector<std::string> taken_back_;
};

std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (recv(fd, &c, 1, 0) == 1 && c != '\n') line += c;
  return line;
}

/// Whether something of it has come; does not wait, as the server may have to send it yet.
bool has_answer(const FileDescriptor& client) {
  char c = 0;
  return recv(client.get(), &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

TEST_F(ControlServerTest, WhoWaitsForALongRequestSeesThatTheServerLives) {
  std::atomic<bool> has_seen_life = false;
  std::atomic<bool> is_over = false;
  ControlServer server(*loop_, [&](ControlRequest) -> Task<Result<Json>> {
    Alarm alarm(*loop_);
    while (!has_seen_life) co_await alarm.sleep(std::chrono::milliseconds(1));
    co_return Json{{"done", true}};
  });
  listen(server);
  std::string answer;
  std::thread client([&] {
    const FileDescriptor asking = connect_and_ask("long");
    char first = 0;
    EXPECT_EQ(recv(asking.get(), &first, 1, 0), 1);
    EXPECT_EQ(first, ' ');
    has_seen_life = true;
    answer = read_line(asking.get());
    is_over = true;
  });
  serve(server, [&] { return is_over.load(); });
  client.join();
  const auto json = parse_json(answer);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["result"], (Json{{"done", true}}));
}

TEST_F(ControlServerTest, WhoIsSilentIsHungUpOnUnlessItWaits) {
  bool is_waiting = false;
  bool may_end = false;
  ControlServer server(
      *loop_,
      [&](ControlRequest request) -> Task<Result<Json>> {
        const std::string command = std::move(request.command);
        Alarm alarm(*loop_);
        is_waiting = is_waiting || command == "long";
        while (command == "long" && !may_end) co_await alarm.sleep(std::chrono::milliseconds(1));
        co_return Json::object();
      },
      nullptr, nullptr, std::chrono::milliseconds(1500));
  listen(server);
  FileDescriptor waiting = connect_and_ask("long");
  FileDescriptor silent = connect_and_ask("short");
  std::size_t most = 0;
  serve(server, [&] {
    most = std::max(most, server.clients());
    if (most == 2 && server.clients() == 1) may_end = true;
    return may_end && is_waiting;
  });
  EXPECT_FALSE(read_line(silent.get()).empty());
  char c = 0;
  EXPECT_EQ(recv(silent.get(), &c, 1, 0), 0) << "hung up on";
  EXPECT_NE(read_line(waiting.get()).find("\"ok\":true"), std::string::npos);
}

TEST_F(ControlServerTest, TheRequestOfAClientThatHasGoneIsNotCarriedOut) {
  ControlServer server(*loop_, noting_handler(), noting_take_back());
  listen(server);
  { const FileDescriptor gone = connect_and_ask("gone"); }
  const FileDescriptor there = connect_and_ask("there");
  serve(server, [&] { return !asked_.empty() && server.clients() == 1; });
  EXPECT_EQ(asked_, std::vector<std::string>{"there"});
  EXPECT_TRUE(taken_back_.empty());
}

TEST_F(ControlServerTest, WhatAClientCannotKnowOfIsTakenBack) {
  ControlServer server(*loop_, noting_handler(), noting_take_back());
  listen(server);
  FileDescriptor reading = connect_and_ask("read");
  FileDescriptor leaving = connect_and_ask("unread");
  int steps = 0;
  serve(server, [&] {
    if (steps == 0 && asked_.size() == 2 && has_answer(reading) && has_answer(leaving)) {
      // One client leaves before it has read its answer.
      EXPECT_FALSE(read_line(reading.get()).empty());
      reading = FileDescriptor();
      leaving = FileDescriptor();
      steps = 1;
    }
    return steps == 1 && server.clients() == 0;
  });
  EXPECT_EQ(taken_back_, std::vector<std::string>{"unread"});
}

}  // namespace
}  // namespace uvdo
