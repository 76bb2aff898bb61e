// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/export.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "device/blocking_device.h"
#include "device/open_device.h"
#include "format/zero_block.h"
#include "inspect/damage_list.h"
#include "lease/open_owned.h"

namespace uvdo {
namespace {

/// Standard output, which takes bytes in order.
class Stream {
 public:
  static Result<Stream> open() {
    if (isatty(STDOUT_FILENO) == 1) {
      return Error(Errc::invalid_argument,
                   "standard output is a terminal: lead it to a program or a file");
    }
    Stream stream;
    // One of its own, above the three: what this closes is not what others write to.
    stream.fd_ = FileDescriptor(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!stream.fd_) return errno_error(errno, "standard output");
    return stream;
  }

  Result<void> write(ConstBytes bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error(errno, "writing to standard output");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }
  Result<void> write_zeros(std::uint64_t length) {
    static constexpr std::array<std::byte, 1U << 16U> kZeros{};
    while (length > 0) {
      const std::uint64_t part = std::min<std::uint64_t>(length, kZeros.size());
      if (auto ok = write(ConstBytes(kZeros).first(part)); !ok) return ok;
      length -= part;
    }
    return {};
  }

 private:
  FileDescriptor fd_;
};

/// What is written to: a new or emptied file, a block device, or standard output, in order.
class Output {
 public:
  static Result<Output> standard() {
    auto stream = Stream::open();
    if (!stream) return std::move(stream).error();
    Output output;
    output.stream_ = std::move(*stream);
    return output;
  }

  /// With room for `size` bytes.
  static Result<Output> open(const std::string& volume, const ExportOptions& options,
                             std::uint64_t size) {
    const std::string& path = options.output;
    // What cannot be looked at cannot be made either, and that says why.
    const auto looked = look_up_name(path);
    const NameOf there = looked ? *looked : NameOf::nothing;
    if (there != NameOf::nothing && !options.force) {
      return Error(Errc::exists, fmt::format("{} exists{}", path,
                                             options.advise({Obstacle::Kind::output_exists})));
    }
    // Opening it would only say that it is in use.
    std::error_code unknown;
    if (there != NameOf::nothing && std::filesystem::equivalent(volume, path, unknown)) {
      return Error(Errc::invalid_argument,
                   fmt::format("{} is the volume itself; give another output", path));
    }
    // Before it is emptied: a limit that would end the export half-way is told at once.
    if (there != NameOf::other) {
      auto allowed = check_file_size_limit(path, size);
      if (!allowed) return std::move(allowed).error();
    }
    auto store = there == NameOf::nothing ? make_blocking_device(path)
                                          : open_blocking_device(path, OpenMode::read_write);
    if (!store) return std::move(store).error();
    if (auto unowned = check_is_unowned(**store); !unowned) return std::move(unowned).error();
    Output output;
    output.created_ = there == NameOf::nothing;
    output.is_file_ = there != NameOf::other;
    output.device_.emplace(std::move(*store));
    auto sized = output.set_size(size);
    if (sized) return output;
    return output.is_file_ ? output.abandon(std::move(sized).error()) : std::move(sized).error();
  }

  Result<void> write(std::uint64_t offset, ConstBytes bytes) {
    return stream_ ? stream_->write(bytes) : device_->write(offset, bytes);
  }

  /// Files are born full of zeros; a device must be told, and a stream gets them.
  Result<void> write_zeros(std::uint64_t offset, std::uint64_t length) {
    if (stream_) return stream_->write_zeros(length);
    if (is_file_ || length == 0) return {};
    return device_->write_zeroes(offset, length);
  }

  /// All of it is stable then, but for a stream.
  Result<void> finish() { return stream_ ? Result<void>() : device_->flush(); }

  /// Removes a file that was made in vain. The error, which says what is left otherwise.
  [[nodiscard]] Error abandon(Error error) const {
    if (created_) {
      unlink(name().c_str());
      return error;
    }
    return {error.code(), fmt::format("{}; {} is not complete", error.message(), name())};
  }

 private:
  [[nodiscard]] std::string name() const {
    return stream_ ? "standard output" : device_->store().name();
  }
  Result<void> set_size(std::uint64_t size) {
    if (!is_file_) {
      const std::uint64_t room = device_->store().size();
      if (room >= size) return {};
      return Error(Errc::no_space, fmt::format("{} has {} bytes, but the volume's contents need {}",
                                               name(), room, size));
    }
    auto sized = device_->store().make_anew(size);
    if (sized || sized.error().code() != Errc::no_space) return sized;
    return Error(Errc::no_space,
                 sized.error().message() + ": export to another file system (XFS can)");
  }

  // One of the two.
  std::optional<Stream> stream_;
  std::optional<BlockingDevice> device_;
  bool created_ = false;
  bool is_file_ = false;
};

/// Writes a run of data, leaving holes for blocks of zeros.
Result<void> write_data(Output& output, const ContentRun& run, ExportReport& report) {
  // Blocks of zeros that were written are holes of the output as well.
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
          return Error(Errc::corrupt,
                       fmt::format("{}: {}{}", place_text(*run), run->problem,
                                   options.advise({Obstacle::Kind::damaged_blocks})));
        }
        report.damaged_blocks += run->blocks;
        options.damaged(*run);
        ok = output.write_zeros(at, run->blocks * kBlockSize);
        break;
      }
    }
    if (!ok) return ok;
    // After the run was written: what is told is in the output.
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
  // The output is open and has its size: what is left to fail is reading and writing.
  auto done = options.begin();
  if (done) done = copy_contents(image, *output, options, report);
  if (!done) return output->abandon(std::move(done).error());
  // No error: nobody knows which blocks it is about.
  report.journal_loss = journal_loss_text(image);
  return report;
}

}  // namespace uvdo
