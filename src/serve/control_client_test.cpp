// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/control_client.h"

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

}  // namespace
}  // namespace uvdo
