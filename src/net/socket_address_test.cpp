// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/socket_address.h"

#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/service_manager.h"

namespace uvdo {
namespace {

TEST(SocketAddress, UnderstandsItsForms) {
  const auto text_of = [](std::string_view text) {
    auto address = SocketAddress::parse(text);
    return address ? address->text() : address.error().message();
  };
  EXPECT_EQ(text_of("unix:/run/a:b"), "unix:/run/a:b");
  EXPECT_EQ(text_of("tcp:host:1234"), "tcp:host:1234");
  EXPECT_EQ(text_of("tcp:host"), "tcp:host:10809");
  EXPECT_EQ(text_of("tcp::99"), "tcp::99");
  EXPECT_EQ(text_of("tcp:[::1]:5"), "tcp:[::1]:5");
  EXPECT_EQ(text_of("tcp:[::1]"), "tcp:[::1]:10809");
}

TEST(SocketAddress, RefusesEverythingElseWithASentence) {
  for (const std::string_view text :
       {"", "unix:", "/run/x", "tcp:", "tcp:h:", "tcp:h:x", "tcp:h:65536", "tcp:h:-1", "tcp:::1",
        "tcp:[::1", "tcp:[::1]5", "udp:h:1", "tcp:h:1x"}) {
    auto address = SocketAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code(), Errc::invalid_argument);
    EXPECT_NE(address.error().message().find("write unix:PATH or tcp:HOST:PORT"), std::string::npos)
        << address.error().message();
  }
  EXPECT_FALSE(SocketAddress::parse("unix:/" + std::string(200, 'x')));
}

TEST(SocketAddress, AStarIsEveryAddress) {
  auto address = SocketAddress::parse("tcp:*:99");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "");
  EXPECT_EQ(address->port, 99);
}

TEST(SocketAccess, TakesModesThatLetTheOwnerIn) {
  auto access = SocketAccess::parse("0660", "");
  ASSERT_TRUE(access);
  EXPECT_EQ(access->mode, 0660U);
  EXPECT_FALSE(access->group);
  for (const std::string_view mode : {"", "0060", "0400", "1600", "0680", "rw", "0600x"}) {
    EXPECT_FALSE(SocketAccess::parse(mode, "")) << mode;
  }
  EXPECT_FALSE(SocketAccess::parse("0660", "no such group"));
  auto numbered = SocketAccess::parse("0660", "12345");
  ASSERT_TRUE(numbered);
  EXPECT_EQ(numbered->group, gid_t{12345});
}

TEST(ListeningSocket, BelongsToWhomItIsGiven) {
  SocketAddress address;
  address.path = ::testing::TempDir() + "uvdo-owner-" + std::to_string(getpid());
  SocketAccess access;
  access.mode = 0666;
  access.owner = geteuid() == 0 ? 12345 : geteuid();
  access.group = geteuid() == 0 ? 12346 : getegid();
  const auto made = ListeningSocket::open(address, access);
  ASSERT_TRUE(made) << made.error().message();
  struct stat status {};
  ASSERT_EQ(stat(address.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0666U);
  EXPECT_EQ(status.st_uid, *access.owner);
  EXPECT_EQ(status.st_gid, *access.group);
}

TEST(ListeningSocket, HasItsModeAndGroupWhateverTheMaskIs) {
  SocketAddress address;
  address.path = ::testing::TempDir() + "uvdo-mode-" + std::to_string(getpid());
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    for (const bool with_group : {false, true}) {
      SocketAccess access;
      access.mode = 0660;
      if (with_group) access.group = getegid();
      const mode_t before = umask(mask);
      const auto made = ListeningSocket::open(address, access);
      EXPECT_EQ(umask(before), mask) << "it is as it was";
      ASSERT_TRUE(made) << made.error().message();
      struct stat status {};
      ASSERT_EQ(stat(address.path.c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 07777, 0660U);
      EXPECT_EQ(status.st_gid, getegid());
      EXPECT_TRUE(made->front().is_unix());
      EXPECT_FALSE(made->front().is_remote());
    }
  }
}

TEST(ListeningSocket, KnowsWhetherOtherMachinesReachIt) {
  for (const auto& [text, remote] : {std::pair("tcp:127.0.0.1:0", false), {"tcp:*:0", true}}) {
    const auto made = ListeningSocket::open(*SocketAddress::parse(text));
    ASSERT_TRUE(made) << made.error().message();
    for (const ListeningSocket& socket : *made) {
      EXPECT_EQ(socket.is_remote(), remote) << socket.name();
      EXPECT_FALSE(socket.is_unix());
    }
  }
}

TEST(ListeningSocket, TakesOnlyListeningStreamSockets) {
  EXPECT_FALSE(ListeningSocket::adopt(-1));
  const int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_FALSE(ListeningSocket::adopt(datagrams));
  EXPECT_FALSE(ListeningSocket::adopt(connected));
  close(datagrams);
  close(connected);
}

TEST(ServiceManager, SendsItsMessagesToPathsAndAbstractSockets) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "@uvdo-test-" + std::to_string(getpid());
  std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
  ASSERT_EQ(0, bind(fd, reinterpret_cast<sockaddr*>(&address),
                    static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())));
  const ServiceManager manager(name);
  manager.notify_ready("serving\ntwo lines");
  manager.notify_stopping();
  std::array<char, 100> buffer{};
  ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(count)),
            "READY=1\nSTATUS=serving two lines");
  count = recv(fd, buffer.data(), buffer.size(), 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(count)), "STOPPING=1");
  close(fd);
  ServiceManager("").notify_ready("nobody listens");
  ServiceManager("/nonexistent/socket").notify_ready("nobody listens");
}

TEST(ServiceManager, SocketsForAnotherProcessAreLeftAlone) {
  setenv("LISTEN_PID", "1", 1);
  setenv("LISTEN_FDS", "3", 1);
  auto sockets = ServiceManager::take_sockets();
  ASSERT_TRUE(sockets);
  EXPECT_TRUE(sockets->empty());
  EXPECT_STREQ(getenv("LISTEN_FDS"), "3");
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "100000", 1);
  EXPECT_FALSE(ServiceManager::take_sockets());
  EXPECT_EQ(getenv("LISTEN_FDS"), nullptr);
}

}  // namespace
}  // namespace uvdo
