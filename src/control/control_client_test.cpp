// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_client.h"

#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/testing/temporary_folder.h"
#include "net/testing/unix_socket.h"

namespace uvdo {
namespace {

Result<Json> ask_server(const std::string& path,
                        std::chrono::milliseconds patience = kAnswerPatience) {
  auto connection = ControlConnection::open(path, patience);
  if (!connection) return std::move(connection).error();
  return connection->ask(ControlRequest{"stats"});
}

TEST(ControlClient, AServerThatIsGoneBeforeItAnswersDoesNotServe) {
  const testing::TemporaryFolder folder;
  // Connections wait for accept() when the socket is closed: that resets them.
  FileDescriptor listening = testing::listen_at(folder.path("socket"));
  ASSERT_TRUE(listening);
  std::thread dying([&listening] {
    usleep(20'000);
    listening = FileDescriptor();
  });
  const auto answer = ask_server(folder.path("socket"));
  dying.join();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Errc::not_found) << answer.error().message();
}

/// Accepts one connection, and does `serve` with it, in a thread.
class OneClientServer {
 public:
  template <typename Serve>
  explicit OneClientServer(Serve serve) {
    EXPECT_TRUE(listening_);
    thread_ = std::jthread([this, serve] {
      const FileDescriptor client(accept(listening_.get(), nullptr, nullptr));
      serve(client.get());
    });
  }
  [[nodiscard]] std::string path() const { return folder_.path("socket"); }

 private:
  testing::TemporaryFolder folder_;
  FileDescriptor listening_ = testing::listen_at(path());
  std::jthread thread_;
};

void wait_for_end(int client) {
  char byte = 0;
  while (recv(client, &byte, 1, 0) > 0) {
  }
}

TEST(ControlClient, ASilentServerIsNamedAndNotWaitedFor) {
  const OneClientServer server(wait_for_end);
  const auto answer = ask_server(server.path(), std::chrono::milliseconds(100));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Errc::busy);
  EXPECT_NE(answer.error().message().find("pid " + std::to_string(getpid())), std::string::npos)
      << answer.error().message();
  EXPECT_NE(answer.error().message().find("within 0.1 seconds"), std::string::npos);
}

TEST(ControlClient, SignsOfLifeStandBeforeTheAnswer) {
  const OneClientServer server([](int client) {
    const std::string_view answer = "{\"uvdo\": 1, \"ok\": true, \"result\": 7}\n";
    for (int i = 0; i < 3; ++i) send(client, " ", 1, 0);
    send(client, answer.data(), answer.size(), 0);
    wait_for_end(client);
  });
  const auto answer = ask_server(server.path());
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(*answer, 7);
}

}  // namespace
}  // namespace uvdo
