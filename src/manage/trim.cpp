// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/trim.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "device/blocking_device.h"
#include "device/open_device.h"
#include "inspect/audit.h"
#include "inspect/slab_counts.h"
#include "lease/open_owned.h"
#include "manage/stopped_volume.h"

namespace uvdo {
namespace {

/// Blocks of one discard (64 MiB).
constexpr std::uint64_t kMostAtOnce = 16384;

/// Whoever trusts wrong counts discards data: all that is known of the references has to agree.
Result<void> check_metadata(const VolumeImage& image) {
  AuditOptions options;
  options.read_data = false;
  std::string first;
  const AuditSummary found = audit(image, options, [&](const Finding& finding) {
    if (finding.is_error && first.empty()) first = finding.text;
  });
  if (found.is_consistent()) return {};
  return Error(Errc::corrupt,
               fmt::format("nothing was discarded, because the volume's metadata contradict each "
                           "other ({}); see uvdo check",
                           first));
}

/// The runs of free blocks of one slab.
Result<void> trim_slab(const VolumeImage& image, BackingStore& store, SlabNumber slab,
                       const std::vector<ReferenceCount>& counts, TrimAnswer& answer) {
  const PbnDevice blocks(store, image.geometry().bio_offset);
  auto at = counts.begin();
  while (true) {
    const auto first = std::find(at, counts.end(), kFree);
    if (first == counts.end()) return {};
    const std::ptrdiff_t most =
        std::min(counts.end() - first, static_cast<std::ptrdiff_t>(kMostAtOnce));
    at = std::find_if(first, first + most, [](ReferenceCount count) { return count != kFree; });
    const Pbn pbn = image.slabs().pbn_of(slab, static_cast<Sbn>(first - counts.begin()));
    Device::Request discard;
    discard.op = Device::Op::discard;
    discard.offset = blocks.byte_of(pbn);
    discard.length = static_cast<std::uint64_t>(at - first) * kBlockSize;
    if (auto done = carry_out_at_once(store, discard); !done) return done;
    answer.bytes += discard.length;
    ++answer.runs;
  }
}

Result<TrimAnswer> trim_stopped(const std::string& path) {
  auto opened = open_blocking_device(path, OpenMode::read_write);
  if (!opened) return std::move(opened).error();
  BackingStore& store = **opened;
  if (auto unowned = check_is_unowned(store); !unowned) return std::move(unowned).error();
  auto image = VolumeImage::open(std::move(*opened));
  if (!image) return std::move(image).error();
  const VolumeState state = (*image)->super_block().state;
  if (state == VolumeState::new_volume) return TrimAnswer();  // nothing of it was ever written
  if (state != VolumeState::clean) {
    return Error(Errc::busy, fmt::format("{} is {}: nothing was discarded. What of it is free is "
                                         "known when it was started and stopped, or in use",
                                         path, explain(state)));
  }
  if (auto agreed = check_metadata(**image); !agreed) {
    return std::move(agreed).error().within(path);
  }
  auto summary = (*image)->read_slab_summary();
  if (!summary) return std::move(summary).error();
  TrimAnswer answer;
  for (SlabNumber slab = 0; slab < (*image)->slab_count(); ++slab) {
    auto counts = load_slab_counts(**image, slab, (*summary)[slab], [](const Finding&) {});
    if (!counts) return std::move(counts).error();
    auto done = trim_slab(**image, store, slab, *counts, answer);
    if (!done) return std::move(done).error();
  }
  Device::Request flush;
  flush.op = Device::Op::flush;
  if (auto flushed = carry_out_at_once(store, flush); !flushed) return std::move(flushed).error();
  return answer;
}

}  // namespace

Result<TrimAnswer> trim_volume(const ServedVolume& volume) {
  // Asking first: a volume whose server has it could not be opened here.
  auto served = volume.ask(TrimRequest());
  if (served || served.error().code() != Errc::not_found) {
    if (!served) return std::move(served).error().within(volume.volume);
    return served;
  }
  return trim_stopped(volume.volume);
}

}  // namespace uvdo
