// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/successor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/service_manager.h"

namespace uvdo {
namespace {

constexpr const char* kProgram = "program";
constexpr const char* kProblem = "UVDO_UPGRADE_PROBLEM";

/// What is passed on has numbers beyond those that it gets in the other program, as far as the
/// limit of open files goes.
FileDescriptor copy_of(int fd) {
  constexpr rlim_t kBeyond = 300;
  rlimit limit{};
  const bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
  const rlim_t first = is_known ? std::min(kBeyond, limit.rlim_cur / 2) : kBeyond;
  return FileDescriptor(fcntl(fd, F_DUPFD_CLOEXEC, static_cast<int>(first)));
}

/// Goes on in a child of this process, once that has ended.
Result<void> move_to_child() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "making a pipe");
  const FileDescriptor until_end(ends[0]);
  FileDescriptor ours(ends[1]);
  const pid_t child = fork();
  if (child < 0) return errno_error(errno, "starting a process");
  if (child > 0) _exit(0);
  ours = FileDescriptor();
  char nothing = 0;
  // It ends with the other process, whose end closes the last copy of the other side.
  while (read(until_end.get(), &nothing, 1) < 0 && errno == EINTR) {
  }
  return {};
}

}  // namespace

Successor::Successor(std::vector<KeptDescriptor> handed_over) {
  for (KeptDescriptor& one : handed_over) {
    if (one.name == kProgram) {
      before_ = copy_of(one.fd.get());
    } else if (Doors::is_socket_name(one.name)) {
      SocketPath path =
          Doors::is_own_socket(one.name) ? SocketPath::of(one.fd.get()) : SocketPath();
      shared_.push_back({std::move(one.name), copy_of(one.fd.get()), std::move(path)});
    } else {
      add(std::move(one));
    }
  }
  if (const char* problem = std::getenv(kProblem)) problem_ = problem;
  unsetenv(kProblem);
}

std::vector<KeptDescriptor> Successor::sockets() const {
  std::vector<KeptDescriptor> copies;
  for (const Shared& one : shared_) copies.push_back({one.name, copy_of(one.fd.get())});
  return copies;
}

std::vector<KeptDescriptor> Successor::rest() const {
  std::vector<KeptDescriptor> copies;
  for (const KeptDescriptor& one : rest_) copies.push_back({one.name, copy_of(one.fd.get())});
  return copies;
}

void Successor::arrived() {
  before_ = FileDescriptor();
  rest_.clear();
}

Result<void> Successor::share(Doors& doors) {
  for (Shared& old : shared_) old.path.leave();  // the same paths come again
  shared_.clear();
  for (auto& [name, socket] : doors.named()) {
    FileDescriptor fd = copy_of(socket->fd());
    if (!fd) return errno_error(errno, "copying a descriptor");
    // One that was taken over has left its path to this.
    SocketPath path = socket->take_path();
    if (path.text().empty() && Doors::is_own_socket(name)) path = SocketPath::of(fd.get());
    shared_.push_back({name, std::move(fd), std::move(path)});
  }
  return {};
}

void Successor::add(KeptDescriptor descriptor) {
  rest_.push_back({std::move(descriptor.name), copy_of(descriptor.fd.get())});
}

void Successor::pass_on(const FileDescriptor& program) {
  std::vector<std::pair<std::string, int>> all;
  for (Shared& one : shared_) {
    one.path.leave();
    all.emplace_back(one.name, one.fd.get());
  }
  for (const KeptDescriptor& one : rest_) all.emplace_back(one.name, one.fd.get());
  all.emplace_back(kProgram, program.get());
  ServiceManager::pass_on(all);
}

Error Successor::become(int argc, char** argv) {
  const FileDescriptor self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  before_ = copy_of(self.get());
  if (next_ == NextServer::another_process) {
    if (auto moved = move_to_child(); !moved) return std::move(moved).error();
  }
  pass_on(before_);
  std::string name = "uvdo";
  std::vector<char*> words{name.data()};
  words.insert(words.end(), argv, argv + argc);
  words.push_back(nullptr);
  execv(program_.c_str(), words.data());
  const Error error = errno_error(errno, fmt::format("running {}", program_));
  return go_back(argc, argv, error.message());
}

Error Successor::go_back(int argc, char** argv, const std::string& why) {
  pass_on(before_);
  setenv(kProblem, why.c_str(), 1);
  std::string name = "uvdo";
  std::vector<char*> words{name.data()};
  words.insert(words.end(), argv, argv + argc);
  words.push_back(nullptr);
  fexecve(before_.get(), words.data(), environ);
  return errno_error(errno, "running the program before this one again");
}

}  // namespace uvdo
