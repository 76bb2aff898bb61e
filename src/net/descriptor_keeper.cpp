// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/descriptor_keeper.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/absolute_path.h"
#include "base/descriptor_message.h"
#include "base/socket_peer.h"
#include "base/store_name.h"

namespace uvdo {
namespace {

// What a server asks: a letter and a name. The answer is a letter; behind a `take` also the names
// of the descriptors that come with it, each with a line's end.
constexpr char kHello = 'h';
constexpr char kTake = 't';
constexpr char kKeep = 'k';
constexpr char kForget = 'f';
constexpr char kEnd = 'e';
constexpr char kDone = 'y';
constexpr char kBusy = 'b';
constexpr char kRefused = 'n';

constexpr int kListener = 3;
constexpr int kTries = 10;
constexpr std::size_t kMostClients = 16;
// Between two looks whether the volume is there, and how many there are without a server.
constexpr int kLookMs = 10'000;
constexpr int kMostLooks = 24 * 360;
constexpr timeval kPatience{.tv_sec = 5, .tv_usec = 0};

constexpr std::size_t kMostText =
    1 + DescriptorKeeper::kMost * (DescriptorKeeper::kLongestName + 1);

struct Letter : DescriptorMessage {
  /// What it asks or answers; the names are behind it.
  [[nodiscard]] char what() const { return text.front(); }
  [[nodiscard]] std::string name() const { return text.substr(1); }
};

std::optional<Letter> receive_letter(int from) {
  auto message = receive_message(from, kMostText);
  if (!message) return std::nullopt;
  return Letter{std::move(*message)};
}

/// The keeper itself: one thread, which waits.
class Keeper {
 public:
  Keeper(std::string path, std::string volume)
      : path_(std::move(path)), volume_(std::move(volume)), identity_(identity_of(volume_)) {}

  void run() {
    bool is_first = true;  // the one that has started it is about to connect
    int looks = 0;
    while (is_first || !clients_.empty() || !files_.empty()) {
      std::vector<pollfd> waits{pollfd{kListener, POLLIN, 0}};
      for (const FileDescriptor& client : clients_) waits.push_back({client.get(), POLLIN, 0});
      const int ready = poll(waits.data(), waits.size(), clients_.empty() ? kLookMs : -1);
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0 || (ready == 0 && (is_first || !is_needed(++looks)))) break;
      for (std::size_t i = 1; i < waits.size(); ++i) {
        if (waits[i].revents != 0 && !serve(waits[i].fd)) hang_up(waits[i].fd);
      }
      if (waits[0].revents != 0) let_in();
      if (!clients_.empty()) {
        is_first = false;
        looks = 0;
      }
    }
    unlink(path_.c_str());
  }

 private:
  using Identity = std::pair<dev_t, ino_t>;
  static Identity identity_of(const std::string& file) {
    struct stat what {};
    return stat(file.c_str(), &what) == 0 ? Identity(what.st_dev, what.st_ino) : Identity();
  }
  [[nodiscard]] bool is_needed(int looks) const {
    return looks < kMostLooks && identity_of(volume_) == identity_;
  }

  /// Whoever is of the same user, and nobody else has it.
  void let_in() {
    FileDescriptor client(accept4(kListener, nullptr, nullptr, SOCK_CLOEXEC));
    const auto peer = socket_peer(client.get());
    if (!peer || peer->uid != geteuid()) return;
    if (has_server() || clients_.size() == kMostClients) {
      send_message(client.get(), std::string(1, kBusy), {});
      return;
    }
    setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    clients_.push_back(std::move(client));
  }

  [[nodiscard]] bool has_server() const { return server_ >= 0; }
  void hang_up(int client) {
    if (server_ == client) server_ = -1;
    std::erase_if(clients_, [&](const FileDescriptor& one) { return one.get() == client; });
  }

  /// False: it is to be hung up on.
  bool serve(int client) {
    auto letter = receive_letter(client);
    if (!letter) return false;
    if (has_server() && server_ != client) {
      send_message(client, std::string(1, kBusy), {});
      return false;
    }
    std::vector<int> files;
    std::string answer{kDone};
    switch (letter->what()) {
      case kHello: break;
      case kTake:
        server_ = client;
        for (const KeptDescriptor& file : files_) {
          answer += file.name + '\n';
          files.push_back(file.fd.get());
        }
        break;
      case kKeep:
        server_ = client;
        forget(letter->name());
        if (letter->files.size() == 1 && files_.size() < DescriptorKeeper::kMost &&
            letter->name().size() <= DescriptorKeeper::kLongestName) {
          files_.push_back({letter->name(), std::move(letter->files[0])});
        } else {
          answer = kRefused;
        }
        break;
      case kForget: forget(letter->name()); break;
      case kEnd: files_.clear(); return false;
      default: answer = kRefused;
    }
    send_message(client, answer, files);
    return true;
  }

  void forget(const std::string& name) {
    std::erase_if(files_, [&](const KeptDescriptor& file) { return file.name == name; });
  }

  std::string path_;
  std::string volume_;
  Identity identity_;
  // Who waits for the storage's lock may be here beside who gets it first, which is the server from
  // its first take or keep on.
  std::vector<FileDescriptor> clients_;
  int server_ = -1;
  std::vector<KeptDescriptor> files_;  // the oldest first
};

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

FileDescriptor new_socket() {
  return FileDescriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

FileDescriptor connect_to(const sockaddr_un& address) {
  FileDescriptor connection = new_socket();
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  const auto* const where = reinterpret_cast<const sockaddr*>(&address);
  if (connect(connection.get(), where, sizeof address) != 0) return {};
  return connection;
}

/// In the child: nothing of the server's stays with it.
[[noreturn]] void become_keeper(int listener, const std::string& path, const std::string& volume) {
  setsid();
  if (fork() != 0) _exit(0);  // nobody's child, so that nobody has to wait for its end
  if (listener != kListener) dup2(listener, kListener);
  close_range(kListener + 1, ~0U, 0);
  fcntl(kListener, F_SETFD, FD_CLOEXEC);
  const int nothing = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < kListener; ++fd) dup2(nothing, fd);
  close(nothing);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // whatever the server has held
  std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  prctl(PR_SET_NAME, "uvdo-keeper");
  Keeper keeper(path, volume);
  if (chdir("/") != 0) _exit(1);
  keeper.run();
  _exit(0);
}

}  // namespace

Result<DescriptorKeeper> DescriptorKeeper::reach(const std::string& path) {
  const auto address = address_of(path);
  FileDescriptor connection = address ? connect_to(*address) : FileDescriptor();
  if (connection) return DescriptorKeeper(std::move(connection));
  return errno_error(errno, "reaching the process that keeps descriptors");
}

Result<DescriptorKeeper> DescriptorKeeper::start(const std::string& path,
                                                 const std::string& volume) {
  const auto address = address_of(path);
  if (!address) return Error(Errc::io, fmt::format("the path {} is too long for a socket", path));
  FileDescriptor connection = connect_to(*address);
  for (int i = 0; connection && i < kTries; ++i) {
    // One that is just ending hangs up, and is gone then.
    DescriptorKeeper keeper(std::move(connection));
    if (keeper.ask(kHello, {}, -1)) return keeper;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    connection = connect_to(*address);
  }
  // Another server has it, which may be about to die: take() tells.
  if (connection) return DescriptorKeeper(std::move(connection));
  unlink(path.c_str());  // of one that was killed
  const FileDescriptor listener = new_socket();
  const auto* const where = reinterpret_cast<const sockaddr*>(&*address);
  const mode_t mask = umask(0077);
  const bool is_bound = bind(listener.get(), where, sizeof *address) == 0;
  umask(mask);
  if (!is_bound || listen(listener.get(), 4) != 0) {
    return errno_error(errno, fmt::format("making the socket {}", path));
  }
  const pid_t child = fork();
  if (child < 0) return errno_error(errno, "starting a process");
  if (child == 0) become_keeper(listener.get(), path, absolute_path(file_of_store(volume)));
  int status = 0;
  waitpid(child, &status, 0);
  connection = connect_to(*address);
  if (!connection) return errno_error(errno, "reaching the process that was started");
  return DescriptorKeeper(std::move(connection));
}

Result<std::vector<KeptDescriptor>> DescriptorKeeper::ask(char what, std::string_view name,
                                                          int fd) {
  const std::array<int, 1> files{fd};
  std::string text{what};
  text += name;
  send_message(connection_.get(), text, std::span(files).first(fd < 0 ? 0 : 1));
  errno = 0;
  auto letter = receive_letter(connection_.get());
  // It hangs up on others behind its one letter, which they may not see any more.
  const bool is_hung_up = !letter && errno != EAGAIN;
  if (letter && letter->what() == kDone) {
    std::vector<KeptDescriptor> kept;
    std::istringstream names(letter->name());
    for (FileDescriptor& file : letter->files) {
      kept.emplace_back();
      std::getline(names, kept.back().name);
      kept.back().fd = std::move(file);
    }
    return kept;
  }
  if (is_hung_up || (letter && letter->what() == kBusy)) {
    return Error(Errc::busy, "the process that keeps descriptors has another server, or was ended");
  }
  return Error(Errc::io, letter ? "the process that keeps descriptors has no room"
                                : "the process that keeps descriptors does not answer");
}

Result<std::vector<KeptDescriptor>> DescriptorKeeper::take() { return ask(kTake, {}, -1); }

Result<void> DescriptorKeeper::keep(int fd, std::string_view name) {
  auto done = ask(kKeep, name, fd);
  return done ? Result<void>() : std::move(done).error();
}

Result<void> DescriptorKeeper::forget(std::string_view name) {
  auto done = ask(kForget, name, -1);
  return done ? Result<void>() : std::move(done).error();
}

void DescriptorKeeper::end() {
  // Until it hangs up: then its socket is gone, and who starts next does not meet it.
  if (connection_ && send_message(connection_.get(), std::string(1, kEnd), {})) {
    static_cast<void>(receive_letter(connection_.get()));
  }
  connection_ = FileDescriptor();
}

}  // namespace uvdo
