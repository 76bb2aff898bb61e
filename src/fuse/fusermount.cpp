// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fusermount.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor_message.h"

namespace uvdo {
namespace {

constexpr const char* kProgram = "fusermount3";
constexpr std::string_view kVariable = "_FUSE_COMMFD=";
// What of its complaints is told.
constexpr std::size_t kMostWords = 512;

struct Pair {
  FileDescriptor ours;
  FileDescriptor its;
};

Result<Pair> socket_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return errno_error(errno, "a socket for fusermount3");
  }
  return Pair{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

/// Descriptors and signals of a child, freed in any case.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // The thread that this runs in takes no signals; the child is to be like others.
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

/// Starts it with `socket` for _FUSE_COMMFD; what it complains about goes to `complaints`.
Result<pid_t> start(const std::vector<std::string>& arguments, int socket, int complaints) {
  SpawnSettings settings;
  // To itself: that lets the child have it.
  posix_spawn_file_actions_adddup2(&settings.actions, socket, socket);
  posix_spawn_file_actions_adddup2(&settings.actions, complaints, STDERR_FILENO);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  std::string variable = fmt::format("{}{}", kVariable, socket);
  std::vector<char*> environment;
  for (char** at = environ; *at != nullptr; ++at) {
    if (std::strncmp(*at, kVariable.data(), kVariable.size()) != 0) environment.push_back(*at);
  }
  environment.push_back(variable.data());
  environment.push_back(nullptr);
  pid_t child = 0;
  const int error = posix_spawnp(&child, kProgram, &settings.actions, &settings.attributes,
                                 argv.data(), environment.data());
  if (error == 0) return child;
  if (error == ENOENT) {
    return Error(Errc::not_found,
                 "fusermount3, with which users who are not root mount, is not there: install the "
                 "package fuse3");
  }
  return errno_error(error, "starting fusermount3");
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 256> piece{};
  for (;;) {
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (text.size() < kMostWords) text.append(piece.data(), static_cast<std::size_t>(got));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// The descriptor that was sent; none if none was.
FileDescriptor receive_descriptor(int socket) {
  auto message = receive_message(socket, 1);
  if (!message || message->files.size() != 1) return {};
  return std::move(message->files.front());
}

/// What has become of a run.
struct Ended {
  bool has_succeeded = false;
  std::string complaints;
  FileDescriptor descriptor;
};

Result<Ended> run(const std::vector<std::string>& arguments) {
  auto socket = socket_pair();
  if (!socket) return std::move(socket).error();
  auto words = socket_pair();
  if (!words) return std::move(words).error();
  auto child = start(arguments, socket->its.get(), words->its.get());
  if (!child) return std::move(child).error();
  // With its end the last other end of both is closed.
  socket->its = FileDescriptor();
  words->its = FileDescriptor();
  Ended ended;
  ended.descriptor = receive_descriptor(socket->ours.get());
  ended.complaints = read_all(words->ours.get());
  int status = 0;
  while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  ended.has_succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return ended;
}

std::string told(const std::string& complaints) {
  return complaints.empty() ? std::string("it does not say why") : complaints;
}

}  // namespace

Result<FileDescriptor> Fusermount::mount(const std::string& folder, const std::string& options) {
  auto ended = run({kProgram, "-o", options, "--", folder});
  if (!ended) return std::move(ended).error();
  if (!ended->has_succeeded || !ended->descriptor) {
    return Error(Errc::unsupported, fmt::format("fusermount3 cannot mount on {}: {}", folder,
                                                told(ended->complaints)));
  }
  return std::move(ended->descriptor);
}

Result<void> Fusermount::unmount(const std::string& folder) {
  auto ended = run({kProgram, "-u", "-z", "--", folder});
  if (!ended) return std::move(ended).error();
  if (ended->has_succeeded) return {};
  return Error(Errc::busy,
               fmt::format("fusermount3 cannot unmount {}: {}", folder, told(ended->complaints)));
}

}  // namespace uvdo
