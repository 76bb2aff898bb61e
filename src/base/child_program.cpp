// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/child_program.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

constexpr std::size_t kMostText = 65536;

/// posix_spawn()'s list of what is done with descriptors first.
class SpawnActions {
 public:
  /// `output`: -1 for none.
  SpawnActions(int errors, int output, const std::string& folder) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (output < 0) {
      posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    } else {
      posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    }
    posix_spawn_file_actions_adddup2(&actions_, errors, STDERR_FILENO);
    posix_spawn_file_actions_addchdir_np(&actions_, folder.c_str());
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(piece.data(), std::min(static_cast<std::size_t>(got), kMostText - text.size()));
  }
  constexpr std::string_view kName = "uvdo: ";
  if (text.starts_with(kName)) text.erase(0, kName.size());
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

std::string this_program() {
  constexpr const char* kSelf = "/proc/self/exe";
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink(kSelf, error);
  // One that was replaced since it was started has no path any more.
  return error || access(path.c_str(), X_OK) != 0 ? std::string(kSelf) : path.string();
}

namespace {

Result<pid_t> spawn(const std::vector<std::string>& words, const SpawnActions& actions) {
  std::vector<std::string> kept = words;
  std::vector<char*> arguments;
  arguments.reserve(kept.size() + 1);
  for (std::string& word : kept) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, arguments[0], actions.get(), nullptr, arguments.data(), environ);
  if (error != 0) return errno_error(error, fmt::format("running {}", words.front()));
  return pid;
}

/// EndedProgram::status of a program when it has ended.
Result<int> wait_for(pid_t pid, const std::string& name) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return errno_error(errno, fmt::format("waiting for {}", name));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<EndedProgram> run(const std::vector<std::string>& words, int output,
                         const std::string& folder) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "making a pipe");
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  const SpawnActions actions(writing.get(), output, folder);
  auto pid = spawn(words, actions);
  if (!pid) return std::move(pid).error();
  writing = FileDescriptor();
  EndedProgram ended;
  ended.error_text = read_to_end(reading.get());
  auto status = wait_for(*pid, words.front());
  if (!status) return std::move(status).error();
  ended.status = *status;
  return ended;
}

}  // namespace

Result<EndedProgram> run_program(const std::vector<std::string>& words, const std::string& folder) {
  return run(words, -1, folder);
}

Result<ProgramOutput> run_program_for_output(const std::vector<std::string>& words) {
  // A file, not a pipe: nobody reads it while the program has something to say about errors.
  const FileDescriptor file(memfd_create("output", MFD_CLOEXEC));
  if (!file) return errno_error(errno, "making room for a program's output");
  auto ended = run(words, file.get(), "/");
  if (!ended) return std::move(ended).error();
  ProgramOutput output{std::move(*ended), {}};
  std::array<char, 4096> piece{};
  for (off_t at = 0;;) {
    const ssize_t got = pread(file.get(), piece.data(), piece.size(), at);
    if (got < 0) return errno_error(errno, "reading a program's output");
    if (got == 0) break;
    output.text.append(piece.data(), static_cast<std::size_t>(got));
    at += got;
  }
  return output;
}

Result<PipedProgram> PipedProgram::start(const std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "making a pipe");
  FileDescriptor reading(ends[0]);
  const FileDescriptor writing(ends[1]);
  // A file: nobody reads errors while there is output to be read.
  FileDescriptor errors(memfd_create("errors", MFD_CLOEXEC));
  if (!errors) return errno_error(errno, "making room for a program's errors");
  const SpawnActions actions(errors.get(), writing.get(), "/");
  auto pid = spawn(words, actions);
  if (!pid) return std::move(pid).error();
  return PipedProgram(*pid, std::move(reading), std::move(errors), words.front());
}

PipedProgram::PipedProgram(PipedProgram&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)),
      name_(std::move(other.name_)) {}

PipedProgram::~PipedProgram() {
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  // Nobody is there to be told how it ended.
  static_cast<void>(wait_for(pid_, name_));
}

Result<std::size_t> PipedProgram::read(MutableBytes out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::read(output_.get(), out.data() + done, out.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, fmt::format("reading the output of {}", name_));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<EndedProgram> PipedProgram::finish() {
  auto status = wait_for(std::exchange(pid_, 0), name_);
  if (!status) return std::move(status).error();
  EndedProgram ended;
  ended.status = *status;
  lseek(errors_.get(), 0, SEEK_SET);
  ended.error_text = read_to_end(errors_.get());
  return ended;
}

}  // namespace uvdo
