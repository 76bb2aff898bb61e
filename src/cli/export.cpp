// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo export: the logical device of a stopped volume as a sparse file, or onto a block device.
#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/damage_file.h"
#include "cli/open_volume.h"
#include "cli/progress.h"
#include "control/error_json.h"
#include "device/backing_file.h"
#include "format/zero_block.h"
#include "inspect/content_reader.h"
#include "inspect/damage_list.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kShownErrors = 20;

struct ExportArguments {
  std::string volume;
  std::string output;
  bool force = false;
  bool skip_errors = false;
  bool without_journal = false;
  bool json = false;
  std::string damaged;  ///< where the damaged blocks are listed

  [[nodiscard]] bool to_standard_output() const { return output == "-"; }
};

/// What is written to: a new or emptied file, a block device, or standard output, in order.
class Output {
 public:
  static Result<Output> standard() {
    if (isatty(STDOUT_FILENO) == 1) {
      return Error(Errc::invalid_argument,
                   "standard output is a terminal: lead it to a program or a file");
    }
    Output output;
    output.path_ = "standard output";
    const int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return errno_error(errno, "standard output");
    output.file_.fd = FileDescriptor(fd);
    output.kind_ = Kind::stream;
    return output;
  }

  static Result<Output> open(const ExportArguments& arguments, std::uint64_t size) {
    Output output;
    output.path_ = arguments.output;
    struct stat status {};
    const bool exists = stat(output.path_.c_str(), &status) == 0;
    if (exists && !arguments.force) {
      return Error(Errc::exists,
                   fmt::format("{} exists; give --force to overwrite it", output.path_));
    }
    struct stat volume {};
    if (exists && stat(arguments.volume.c_str(), &volume) == 0 && volume.st_ino == status.st_ino &&
        volume.st_dev == status.st_dev) {
      return Error(Errc::invalid_argument,
                   fmt::format("{} is the volume itself; give another output", output.path_));
    }
    if (!exists || S_ISREG(status.st_mode)) {
      auto allowed = check_file_size_limit(output.path_, size);
      if (!allowed) return std::move(allowed).error();
    }
    if (!exists) {
      const int fd = ::open(output.path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (fd < 0) return errno_error(errno, fmt::format("cannot create {}", output.path_));
      output.file_.fd = FileDescriptor(fd);
      output.created_ = true;
    } else {
      auto file = open_backing_store(output.path_, OpenMode::read_write);
      if (!file) return std::move(file).error();
      output.file_ = std::move(*file);
      if (S_ISBLK(status.st_mode)) output.kind_ = Kind::device;
    }
    if (auto ok = output.set_size(size); !ok) {
      if (output.kind_ == Kind::device) return std::move(ok).error();
      return output.abandon(std::move(ok).error());
    }
    return output;
  }

  Result<void> write(std::uint64_t offset, ConstBytes bytes) {
    const bool is_stream = kind_ == Kind::stream;
    while (!bytes.empty()) {
      const ssize_t n = is_stream ? ::write(file_.fd.get(), bytes.data(), bytes.size())
                                  : pwrite(file_.fd.get(), bytes.data(), bytes.size(),
                                           static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error(errno, fmt::format("writing to {}", path_));
      offset += static_cast<std::uint64_t>(n);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }

  /// Files are born full of zeros; a device must be told, and a stream gets them.
  Result<void> write_zeros(std::uint64_t offset, std::uint64_t length) {
    if (kind_ == Kind::file || length == 0) return {};
    if (kind_ == Kind::stream) return stream_zeros(length);
    const std::array<std::uint64_t, 2> range{offset, length};
    if (ioctl(file_.fd.get(), BLKZEROOUT, range.data()) == 0) return {};
    return errno_error(errno, fmt::format("zeroing {}", path_));
  }

  Result<void> finish() {
    if (kind_ == Kind::stream) return {};
    if (fsync(file_.fd.get()) == 0) return {};
    return errno_error(errno, fmt::format("writing to {}", path_));
  }

  /// Removes a file that was made in vain. The error, which says what is left otherwise.
  Error abandon(Error error) const {
    if (created_) {
      unlink(path_.c_str());
      return error;
    }
    return {error.code(), fmt::format("{}; {} is not complete", error.message(), path_)};
  }

 private:
  enum class Kind : std::uint8_t { file, device, stream };

  Result<void> stream_zeros(std::uint64_t length) {
    static constexpr std::array<std::byte, 1U << 16U> kZeros{};
    while (length > 0) {
      const std::uint64_t part = std::min<std::uint64_t>(length, kZeros.size());
      if (auto ok = write(0, ConstBytes(kZeros).first(part)); !ok) return ok;
      length -= part;
    }
    return {};
  }

  Result<void> set_size(std::uint64_t size) {
    if (kind_ == Kind::device) {
      auto room = size_of_backing_store(file_.fd.get(), path_);
      if (!room) return std::move(room).error();
      if (*room >= size) return {};
      return Error(Errc::no_space, fmt::format("{} has {} bytes, but the volume's contents need {}",
                                               path_, *room, size));
    }
    if (ftruncate(file_.fd.get(), 0) == 0 &&
        ftruncate(file_.fd.get(), static_cast<off_t>(size)) == 0) {
      return {};
    }
    if (errno == EFBIG) {
      return Error(Errc::no_space,
                   fmt::format("the file system of {} cannot hold a file of {}: export to another "
                               "file system (XFS can)",
                               path_, size_text(size)));
    }
    return errno_error(errno, fmt::format("cannot set the size of {}", path_));
  }

  std::string path_;
  BackingFile file_;
  bool created_ = false;
  Kind kind_ = Kind::file;
};

struct Exported {
  std::uint64_t data_blocks = 0;
  std::uint64_t damaged_blocks = 0;
};

/// Writes a run of data, leaving holes for blocks of zeros.
Result<void> write_data(Output& output, const ContentRun& run, Exported& exported) {
  const auto is_zero = [&](std::uint64_t i) { return is_zero_block(&run.data[i * kBlockSize]); };
  for (std::uint64_t i = 0; i < run.blocks;) {
    const bool zero = is_zero(i);
    std::uint64_t end = i + 1;
    while (end < run.blocks && is_zero(end) == zero) ++end;
    const std::uint64_t at = (run.start + i).value() * kBlockSize;
    const std::uint64_t bytes = (end - i) * kBlockSize;
    auto ok = zero ? output.write_zeros(at, bytes)
                   : output.write(at, run.data.subspan(i * kBlockSize, bytes));
    if (!ok) return ok;
    if (!zero) exported.data_blocks += end - i;
    i = end;
  }
  return {};
}

Result<Exported> copy_contents(VolumeImage& image, Output& output, DamageFile& list,
                               bool skip_errors) {
  Exported exported;
  Progress progress;
  std::uint64_t problems = 0;
  const std::uint64_t blocks = image.logical_blocks();
  ContentReader reader(image, Lbn{0}, blocks);
  while (auto run = reader.next()) {
    const std::uint64_t at = run->start.value() * kBlockSize;
    Result<void> ok;
    switch (run->kind) {
      case ContentRun::Kind::hole: ok = output.write_zeros(at, run->blocks * kBlockSize); break;
      case ContentRun::Kind::data: ok = write_data(output, *run, exported); break;
      case ContentRun::Kind::damaged: {
        const std::string where = place_text(*run);
        if (!skip_errors) {
          return Error(
              Errc::corrupt,
              fmt::format("{}: {}; give --skip-errors to export the rest, with zeros there", where,
                          run->problem));
        }
        exported.damaged_blocks += run->blocks;
        list.add(*run);
        if (++problems <= kShownErrors) {
          progress.clear();
          warn(fmt::format("{}: {}", where, run->problem));
        }
        ok = output.write_zeros(at, run->blocks * kBlockSize);
        break;
      }
    }
    if (!ok) return std::move(ok).error();
    progress.show("export", run->start.value() + run->blocks, blocks,
                  size_text(exported.data_blocks * kBlockSize) + " written");
  }
  return exported;
}

/// What of the volume is not in the output, a sentence each.
std::vector<std::string> losses_of(const VolumeImage& image, const Exported& exported,
                                   DamageFile& list, const ExportArguments& arguments) {
  std::vector<std::string> losses;
  if (exported.damaged_blocks > 0) {
    losses.push_back(fmt::format(
        "{} blocks could not be read; they are zeros in {}", grouped(exported.damaged_blocks),
        arguments.to_standard_output() ? "standard output" : arguments.output));
  }
  if (const auto loss = journal_loss_text(image)) {
    list.remark(*loss);
    losses.push_back(*loss);
  }
  if (auto listed = list.finish(); !listed) losses.push_back(listed.error().message());
  return losses;
}

/// Says what was exported: as JSON, in words, or, where the contents go to standard output, there
/// where errors go.
int tell_end(const ExportArguments& arguments, std::uint64_t size, const Exported& exported,
             const std::vector<std::string>& losses) {
  if (arguments.json) {
    Json json = {{"volume", arguments.volume},
                 {"output", arguments.output},
                 {"logicalBytes", size},
                 {"dataBytes", exported.data_blocks * kBlockSize},
                 {"damagedBlocks", exported.damaged_blocks}};
    for (const std::string& loss : losses) warn(loss);
    if (!losses.empty()) json["error"] = error_json({Errc::corrupt, losses.back()});
    print("{}\n", json_text(json, 2));
    return losses.empty() ? kExitOk : kExitFailed;
  }
  if (!arguments.to_standard_output()) {
    print("{} exported to {}, {} of it data\n", size_text(size), arguments.output,
          size_text(exported.data_blocks * kBlockSize));
  }
  int status = kExitOk;
  for (const std::string& loss : losses) status = fail(loss, Errc::corrupt);
  return status;
}

int export_volume(const ExportArguments& arguments) {
  auto image = open_volume(arguments.volume, {.replay = !arguments.without_journal});
  if (!image) return fail(image.error());
  const std::uint64_t size = (*image)->logical_blocks() * kBlockSize;
  const bool to_stdout = arguments.to_standard_output();
  std::vector<std::string> others{arguments.volume};
  if (!to_stdout) others.push_back(arguments.output);
  auto list = DamageFile::open(arguments.damaged, others);
  if (!list) return fail(list.error());
  auto output = to_stdout ? Output::standard() : Output::open(arguments, size);
  if (!output) return fail(output.error());
  if (auto begun = list->begin(); !begun) return fail(output->abandon(std::move(begun).error()));
  if (const auto left_out = left_out_text(**image)) warn(*left_out);
  auto exported = copy_contents(**image, *output, *list, arguments.skip_errors);
  if (!exported) return fail(output->abandon(std::move(exported).error()));
  if (auto ok = output->finish(); !ok) return fail(output->abandon(std::move(ok).error()));
  return tell_end(arguments, size, *exported, losses_of(**image, *exported, *list, arguments));
}

}  // namespace

int run_export(int argc, char** argv) {
  ExportArguments arguments;
  Arguments app("Copies the contents of a stopped volume to a sparse file.", "uvdo export");
  add_volume_argument(app, arguments.volume);
  app.option("-o,--output", arguments.output,
             "file to make, block device to overwrite, or - for standard output")
      .required();
  app.flag("--force", arguments.force, "overwrite the output if it exists");
  app.flag("--skip-errors", arguments.skip_errors,
           "go on where blocks are damaged, with zeros in their place (exit status 1)");
  DamageFile::add_to(app, arguments.damaged);
  app.flag(kWithoutJournalOrRaw, arguments.without_journal, kWithoutJournalHelp);
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (arguments.json && arguments.to_standard_output()) {
    return usage_error("--json and the contents cannot both go to standard output: name a file");
  }
  if (arguments.damaged == "-" && (arguments.json || arguments.to_standard_output())) {
    return usage_error(fmt::format("{} and --list-damaged - cannot both have standard output",
                                   arguments.json ? "--json" : "the contents"));
  }
  return export_volume(arguments);
}

}  // namespace uvdo
