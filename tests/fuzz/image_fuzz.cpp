// SPDX-License-Identifier: GPL-2.0-or-later
// libFuzzer target: a whole volume with arbitrary damage. It is checked and read offline, opened
// and used, and rebuilt. Whatever is broken: nothing crashes, hangs or reads what it must not; what
// the volume takes it gives back; and after a rebuild all structures agree.
//
// The input's first byte chooses the volume (clean, dirty or busy, for rebuild) and whether the
// checksums are made right afterwards. Patches follow: 2 bytes of block, among those that hold
// something; 2 bytes of place in it; 1 of length; and the bytes.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "async/sim_executor.h"
#include "base/crc32.h"
#include "device/sim_device.h"
#include "device/sparse_device.h"
#include "index/bounded_memory_index.h"
#include "inspect/audit.h"
#include "inspect/content_reader.h"
#include "sim/volume_subject.h"
#include "volume/format_volume.h"

namespace uvdo {
namespace {

// More than any sound use of so small a volume takes: whoever needs them hangs.
constexpr std::uint64_t kSteps = 3'000'000;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

const VolumeLayout& layout() {
  static const VolumeLayout made = sim::make_tiny_layout({8, 6, 12, 16, 4000});
  return made;
}

std::uint64_t device_size() { return volume_end(layout().geometry, layout().super_block); }

Task<Result<std::unique_ptr<Volume>>> open(Executor& executor, BackingStore& device) {
  VolumeOptions options;
  options.block_map_cache_pages = 16;
  options.buffer_bytes = 1U << 20U;
  options.compression = true;
  options.commit_delay = std::chrono::milliseconds(2);
  IndexFactory index = [](Executor&, Device&, const VolumeGeometry&, bool) {
    return std::make_unique<BoundedMemoryIndex>(64);
  };
  co_return co_await Volume::open(executor, device, options, std::move(index),
                                  [](const std::string&) {});
}

void fill(MutableBytes block, std::uint64_t number) {
  // Every third can be compressed, every fifth is there already.
  SimRandom random(number % 5 == 0 ? 1 : number);
  const std::size_t hard = number % 3 == 0 ? 256 : kBlockSize;
  for (std::size_t i = 0; i < kBlockSize; i += 8) {
    store_le64(block.data() + i, i < hard ? random.next() : 7);
  }
}

Task<Result<void>> write(Volume& volume, std::uint64_t block, std::uint64_t number) {
  Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
  fill(buffer.bytes(), number);
  co_return co_await volume.write(block * kBlockSize, std::move(buffer), Durability::cached);
}

// ---- the volumes to be damaged

Task<void> fill_volume(Executor& executor, SimDevice& device, bool stop, SparseImage& result) {
  const auto formatted = co_await format_volume(device, layout());
  require(formatted.ok(), "a volume is formatted");
  auto opened = co_await open(executor, device);
  require(opened.ok(), "a sound volume opens");
  const std::unique_ptr<Volume> volume = *std::move(opened);
  for (std::uint64_t i = 0; i < 400; ++i) {
    const auto written = co_await write(*volume, i * 37 % 3000, i);
    require(written.ok() || written.error().code() == Errc::no_space, "a sound volume is written");
    if (i % 50 == 49) {
      const auto flushed = co_await volume->flush();
      require(flushed.ok(), "a sound volume is flushed");
    }
  }
  result = device.durable();
  const auto stopped = co_await volume->stop();
  require(stopped.ok(), "a sound volume is stopped");
  if (stop) result = device.durable();
}

struct Base {
  SparseImage image{0};
  std::vector<std::uint64_t> blocks;  // device blocks that hold something
};

Base make_base(bool clean) {
  SimExecutor executor({.seed = 3});
  SimDevice device(executor, device_size());
  Base base;
  const auto outcome = executor.run(fill_volume(executor, device, clean, base.image));
  require(outcome.finished, "the volume to be damaged is made");
  const std::uint64_t data = layout().geometry.data_start.value();
  const std::vector<std::byte> zeros(kBlockSize);
  std::vector<std::byte> block(kBlockSize);
  for (std::uint64_t at = 0; at < device_size() / kBlockSize; ++at) {
    if (at == 1) at = data;  // not the index
    base.image.read(at * kBlockSize, block);
    if (block != zeros) base.blocks.push_back(at);
  }
  return base;
}

const Base& base(bool clean) {
  static const std::array<Base, 2> made{make_base(false), make_base(true)};
  return made[clean ? 1 : 0];
}

// ---- mending

void fix_checksums(SparseImage& image) {
  std::vector<std::byte> block(kBlockSize);
  image.read(0, block);
  const std::size_t at =
      (load_le32(block.data() + 12) <= 4 ? kGeometrySizeV4 : kGeometrySizeV5) - 4;
  store_le32(block.data() + at, vdo_crc32(ConstBytes(block).first(at)));
  image.write(0, block);
  const std::uint64_t super =
      device_byte(layout().geometry.data_start, layout().geometry.bio_offset);
  image.read(super, block);
  const std::size_t end = kSuperBlockSize - 4;
  store_le32(block.data() + end, vdo_crc32(ConstBytes(block).first(end)));
  image.write(super, block);
}

/// Sets the state of the super block; false if there is no volume.
bool set_state(SparseImage& image, VolumeState state) {
  std::vector<std::byte> block(kBlockSize);
  image.read(0, block);
  const auto geometry = decode_volume_geometry(block);
  if (!geometry) return false;
  const std::uint64_t at = device_byte(geometry->data_start, geometry->bio_offset);
  if (at > image.size() - kBlockSize) return false;
  image.read(at, block);
  auto super = decode_super_block(block, *geometry);
  if (!super) return false;
  super->state = state;
  encode_super_block(*super, block);
  image.write(at, block);
  return true;
}

// ---- what is done with it

void look_offline(const SparseImage& image, bool replay) {
  auto opened = VolumeImage::open(std::make_unique<SparseDevice>(image), {replay});
  if (!opened) return;
  const AuditSummary found = audit(**opened, {}, [](const Finding&) {});
  static_cast<void>(found);
  const std::uint64_t logical = (*opened)->logical_blocks();
  ContentReader reader(**opened, Lbn{0}, logical);
  std::uint64_t next = 0;
  while (const auto run = reader.next()) {
    require(run->start.value() == next && run->blocks > 0, "an export goes from block to block");
    next += run->blocks;
  }
  require(next == logical, "an export goes to the end");
}

Task<void> use(Executor& executor, SimDevice& device, bool& stopped_well, bool& read_only) {
  auto opened = co_await open(executor, device);
  if (!opened) co_return;
  const std::unique_ptr<Volume> volume = *std::move(opened);
  read_only = volume->is_read_only();
  const std::uint64_t blocks = std::min<std::uint64_t>(volume->size() / kBlockSize, 3000);
  AlignedMemory content(16 * kBlockSize);
  for (std::uint64_t at = 0; at + 16 <= blocks; at += 16) {
    const auto read = co_await volume->read(at * kBlockSize, content.bytes());
    static_cast<void>(read);
  }
  std::vector<std::uint64_t> written;
  for (std::uint64_t i = 0; i < 40 && i * 61 < blocks; ++i) {
    const auto done = co_await write(*volume, i * 61, 1000 + i);
    if (done) written.push_back(i);
  }
  const auto discarded = co_await volume->discard(
      kBlockSize, std::min<std::uint64_t>(volume->size() - kBlockSize, 20 * kBlockSize),
      Durability::cached);
  static_cast<void>(discarded);
  const auto extents = co_await volume->extents(0, volume->size(), 50);
  static_cast<void>(extents);
  const auto flushed = co_await volume->flush();
  AlignedMemory expected(kBlockSize);
  for (const std::uint64_t i : written) {
    const auto read = co_await volume->read(i * 61 * kBlockSize, content.bytes().first(kBlockSize));
    if (!flushed || !read || i * 61 <= 20) continue;
    fill(expected.bytes(), 1000 + i);
    require(std::memcmp(content.data(), expected.data(), kBlockSize) == 0,
            "what was written is read");
  }
  co_await volume->count_savings(std::chrono::milliseconds(1));
  const auto stopped = co_await volume->stop();
  stopped_well = stopped.ok();
}

struct Used {
  bool stopped_well = false;
  bool read_only = true;
};

Used use_volume(SparseImage& image) {
  SimExecutor executor({.seed = 5});
  SimDevice device(executor, std::move(image));
  Used used;
  const auto outcome =
      executor.run(use(executor, device, used.stopped_well, used.read_only), kSteps);
  require(outcome.finished, outcome.why.c_str());
  require(device.misuse().empty(), device.misuse().c_str());
  image = device.content();
  return used;
}

void rebuild_volume_of(SparseImage image) {
  if (!set_state(image, VolumeState::force_rebuild)) return;
  const Used used = use_volume(image);
  // A rebuild may give up; only what it claims to have made right is held to that.
  if (!used.stopped_well || used.read_only) return;
  auto opened = VolumeImage::open(std::make_unique<SparseDevice>(image));
  require(opened.ok(), opened.ok() ? "" : opened.error().message().c_str());
  std::string wrong;
  const AuditSummary found = audit(**opened, {}, [&](const Finding& finding) {
    // A fragment that cannot be unpacked is lost data, which no rebuild brings back; and what the
    // super block says beyond the layout is left as it is.
    if (!finding.is_error || finding.kind == FindingKind::compressed_block ||
        finding.kind == FindingKind::super_block) {
      return;
    }
    wrong += finding.text;
  });
  static_cast<void>(found);
  require(wrong.empty(), ("a rebuilt volume is consistent: " + wrong).c_str());
}

}  // namespace
}  // namespace uvdo

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace uvdo;
  if (size == 0) return 0;
  const std::uint8_t choice = *data++;
  const std::uint8_t* const end = data + (size - 1);
  const Base& from = base((choice & 1U) != 0);
  SparseImage image = from.image;
  while (end - data >= 5) {
    const ConstBytes patch = std::as_bytes(std::span(data, end));
    const std::uint64_t block = from.blocks[load_le16(patch.data()) % from.blocks.size()];
    const std::uint64_t at = load_le16(patch.data() + 2) % kBlockSize;
    const std::size_t length =
        std::min<std::size_t>({data[4], static_cast<std::size_t>(end - data) - 5, kBlockSize - at});
    image.write(block * kBlockSize + at, std::as_bytes(std::span(data + 5, length)));
    data += 5 + length;
  }
  if ((choice & 2U) == 0) fix_checksums(image);
  look_offline(image, true);
  look_offline(image, false);
  rebuild_volume_of(image);
  use_volume(image);
  look_offline(image, true);
  return 0;
}
