// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/volume_headers.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

TEST(VolumeHeaders, AreReadAsTheyWereWritten) {
  FormatRequest request;
  request.device_bytes = 4ULL << 30U;
  request.slab_bits = 13;
  request.nonce = 0x0102030405060708;
  auto layout = make_volume_layout(request);
  ASSERT_TRUE(layout.ok());
  // Every byte of what grows while a volume is used.
  SuperBlock& super_block = layout->super_block;
  super_block.state = VolumeState::clean;
  super_block.complete_recoveries = 0x1112131415161718;
  super_block.read_only_recoveries = 0x2122232425262728;
  super_block.journal.journal_start = JournalSequence{0x313233343536};
  super_block.journal.logical_blocks_used = 0x4142434445464748;
  super_block.journal.block_map_blocks = 0x5152535455565758;
  auto device = MemoryDevice::create(request.device_bytes);
  ASSERT_TRUE(device.ok());
  const VolumeGeometry& geometry = layout->geometry;
  encode_volume_geometry(geometry, (*device)->bytes().first(kBlockSize));
  encode_super_block(
      super_block, (*device)->bytes().subspan(device_byte(geometry.data_start, geometry.bio_offset),
                                              kBlockSize));
  SimExecutor executor({.seed = 1});
  const auto outcome =
      executor.run([](BackingStore& from, const VolumeLayout& written) -> Task<void> {
        const auto headers = co_await read_volume_headers(from);
        if (!headers) {
          ADD_FAILURE() << headers.error().message();
          co_return;
        }
        EXPECT_EQ(headers->geometry, written.geometry);
        EXPECT_EQ(headers->super_block.journal.journal_start,
                  written.super_block.journal.journal_start);
        EXPECT_EQ(headers->super_block, written.super_block);
      }(**device, *layout));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

}  // namespace
}  // namespace uvdo
