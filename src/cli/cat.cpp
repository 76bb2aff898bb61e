// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo cat: a part of the logical device of a stopped volume, to standard output.
#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <unistd.h>

#include "base/size_text.h"
#include "cli/command.h"
#include "cli/without_journal.h"
#include "inspect/content_reader.h"
#include "manage/stopped_volume.h"

namespace uvdo {
namespace {

// By the system, not by print(): contents are not text, and an error is told with its reason.
Result<void> write_all(ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error(errno, "writing to standard output");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> write_zeros(std::uint64_t count) {
  const std::vector<std::byte> zeros(std::min<std::uint64_t>(count, 1U << 20U));
  while (count > 0) {
    const std::uint64_t n = std::min<std::uint64_t>(count, zeros.size());
    if (auto ok = write_all(ConstBytes(zeros).first(n)); !ok) return ok;
    count -= n;
  }
  return {};
}

/// Bytes from `offset` to before `end`. A damaged block ends it: what follows would be taken for
/// what stood there.
Result<void> copy_range(VolumeImage& image, std::uint64_t offset, std::uint64_t end) {
  const Lbn first{offset / kBlockSize};
  ContentReader reader(image, first, (end + kBlockSize - 1) / kBlockSize - first.value());
  while (auto run = reader.next()) {
    const std::uint64_t run_start = run->start.value() * kBlockSize;
    const std::uint64_t from = std::max(offset, run_start);
    const std::uint64_t to = std::min(end, run_start + run->blocks * kBlockSize);
    if (run->kind == ContentRun::Kind::damaged) {
      return Error(Errc::corrupt,
                   fmt::format("logical block {}: {}", run->start.value(), run->problem));
    }
    auto ok = run->kind == ContentRun::Kind::hole
                  ? write_zeros(to - from)
                  : write_all(run->data.subspan(from - run_start, to - from));
    if (!ok) return ok;
  }
  return {};
}

}  // namespace

int run_cat(int argc, char** argv) {
  std::string volume;
  std::string offset_text = "0";
  std::string length_text;
  bool without_journal = false;
  Arguments app("Writes the contents of a stopped volume to standard output.", "uvdo cat");
  add_volume_argument(app, volume);
  app.option("--offset", offset_text, "where to begin (4096, 1M, ...)");
  app.option("--length", length_text, "how much to write; by default up to the end");
  app.flag(kWithoutJournalOrRaw, without_journal, kWithoutJournalHelp);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto offset = parse_size(offset_text);
  if (!offset) return usage_error(offset.error().message());

  auto image = open_volume(volume, {.replay = !without_journal});
  if (!image) return fail(image.error());
  const std::uint64_t size = (*image)->logical_blocks() * kBlockSize;
  std::uint64_t end = size;
  if (!length_text.empty()) {
    auto length = parse_size(length_text);
    if (!length) return usage_error(length.error().message());
    // A sum that would overflow is as wrong as one beyond the end.
    end = *offset > size || *length > size - *offset ? UINT64_MAX : *offset + *length;
  }
  if (*offset > size || end > size) {
    return fail(
        fmt::format("the range goes beyond the end of the volume, which has {} bytes", size));
  }
  if (const auto left_out = left_out_text(**image)) warn(*left_out);
  if (auto ok = copy_range(**image, *offset, end); !ok) return fail(ok.error());
  // What could be read has been written; that it may not be all is an error at the end.
  if (const auto loss = journal_loss_text(**image)) return fail(*loss);
  return kExitOk;
}

}  // namespace uvdo
