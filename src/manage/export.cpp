// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/export.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/size_text.h"
#include "device/backing_file.h"
#include "format/zero_block.h"
#include "inspect/damage_list.h"
#include "manage/file_size.h"

namespace uvdo {
namespace {

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

  static Result<Output> open(const std::string& volume, const ExportOptions& options,
                             std::uint64_t size) {
    Output output;
    output.path_ = options.output;
    struct stat status {};
    const bool exists = stat(output.path_.c_str(), &status) == 0;
    if (exists && !options.force) {
      return Error(Errc::exists,
                   fmt::format("{} exists; give --force to overwrite it", output.path_));
    }
    struct stat source {};
    if (exists && stat(volume.c_str(), &source) == 0 && source.st_ino == status.st_ino &&
        source.st_dev == status.st_dev) {
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
    return make_file_empty(file_.fd.get(), path_, size,
                           ": export to another file system (XFS can)");
  }

  std::string path_;
  BackingFile file_;
  bool created_ = false;
  Kind kind_ = Kind::file;
};

/// Writes a run of data, leaving holes for blocks of zeros.
Result<void> write_data(Output& output, const ContentRun& run, ExportReport& report) {
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
    if (!zero) report.data_blocks += end - i;
    i = end;
  }
  return {};
}

/// Copies all runs; `report` counts them.
Result<void> copy_contents(VolumeImage& image, Output& output, const ExportOptions& options,
                           ExportReport& report) {
  const std::uint64_t blocks = image.logical_blocks();
  ContentReader reader(image, Lbn{0}, blocks);
  while (auto run = reader.next()) {
    const std::uint64_t at = run->start.value() * kBlockSize;
    Result<void> ok;
    switch (run->kind) {
      case ContentRun::Kind::hole: ok = output.write_zeros(at, run->blocks * kBlockSize); break;
      case ContentRun::Kind::data: ok = write_data(output, *run, report); break;
      case ContentRun::Kind::damaged: {
        if (!options.skip_errors) {
          return Error(
              Errc::corrupt,
              fmt::format("{}: {}; give --skip-errors to export the rest, with zeros there",
                          place_text(*run), run->problem));
        }
        report.damaged_blocks += run->blocks;
        options.damaged(*run);
        ok = output.write_zeros(at, run->blocks * kBlockSize);
        break;
      }
    }
    if (!ok) return ok;
    options.progress(run->start.value() + run->blocks, blocks, report);
  }
  return output.finish();
}

}  // namespace

Result<ExportReport> export_volume(VolumeImage& image, const ExportOptions& options) {
  ExportReport report;
  report.logical_bytes = image.logical_blocks() * kBlockSize;
  auto output = options.to_standard_output()
                    ? Output::standard()
                    : Output::open(image.store().name(), options, report.logical_bytes);
  if (!output) return std::move(output).error();
  auto done = options.begin();
  if (done) done = copy_contents(image, *output, options, report);
  if (!done) return output->abandon(std::move(done).error());
  report.journal_loss = journal_loss_text(image);
  return report;
}

}  // namespace uvdo
