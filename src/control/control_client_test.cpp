// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_client.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device/file_device.h"

namespace uvdo {
namespace {

TEST(ControlClient, AServerThatIsGoneBeforeItAnswersDoesNotServe) {
  std::string folder = ::testing::TempDir() + "uvdo-control-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  {
    // Connections wait for accept() when the socket is closed: that resets them.
    FileDescriptor listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ASSERT_EQ(listen(listening.get(), 1), 0);
    std::thread dying([&listening] {
      usleep(20'000);
      listening = FileDescriptor();
    });
    const auto answer = ask_server(path, {{"command", "stats"}});
    dying.join();
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code(), Errc::not_found) << answer.error().message();
  }
  unlink(path.c_str());
  rmdir(folder.c_str());
}

/// Accepts one connection at `path`, and does `serve` with it, in a thread.
class OneClientServer {
 public:
  template <typename Serve>
  explicit OneClientServer(Serve serve) {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/socket";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    EXPECT_EQ(listen(listening_.get(), 1), 0);
    thread_ = std::thread([this, serve] {
      const FileDescriptor client(accept(listening_.get(), nullptr, nullptr));
      serve(client.get());
    });
  }
  ~OneClientServer() {
    thread_.join();
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  OneClientServer(const OneClientServer&) = delete;
  OneClientServer& operator=(const OneClientServer&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string folder_ = ::testing::TempDir() + "uvdo-control-XXXXXX";
  std::string path_;
  FileDescriptor listening_{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::thread thread_;
};

void wait_for_end(int client) {
  char byte = 0;
  while (recv(client, &byte, 1, 0) > 0) {
  }
}

TEST(ControlClient, ASilentServerIsNamedAndNotWaitedFor) {
  const OneClientServer server(wait_for_end);
  const auto answer =
      ask_server(server.path(), {{"command", "stats"}}, std::chrono::milliseconds(100));
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
  const auto answer = ask_server(server.path(), {{"command", "stats"}});
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(*answer, 7);
}

}  // namespace
}  // namespace uvdo
