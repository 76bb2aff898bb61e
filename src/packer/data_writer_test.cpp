// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/data_writer.h"

#include <array>
#include <memory>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "base/aligned_memory.h"
#include "device/sim_device.h"

namespace uvdo {
namespace {

// What waits for the turn's end is overtaken by a batch that goes at once, to a disk that answers
// at once: all is written before the turn ends.
TEST(DataWriter, MayGoWhenItIsIdle) {
  constexpr std::size_t kFew = 8;
  constexpr std::size_t kMany = 64;
  SimExecutor executor({.seed = 1});
  SimDeviceOptions at_once;
  at_once.instant_one_in = 1;
  SimDevice device(executor, 1U << 20U, at_once);
  const auto outcome = executor.run([](SimExecutor& on, SimDevice& disk) -> Task<void> {
    auto writer = std::make_unique<DataWriter>(on, PbnDevice(disk, 0));
    const AlignedMemory data(kBlockSize);
    std::array<BlockWrite, kFew + kMany> blocks;
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = {Pbn{i}, data.data()};
    const auto write = [](DataWriter& to, std::span<const BlockWrite> what) -> Task<void> {
      const auto done = co_await to.write(what);
      EXPECT_TRUE(done.ok());
    };
    TaskGroup writes(on);
    writes.start(write(*writer, std::span(blocks).first(kFew)));
    writes.start(write(*writer, std::span(blocks).last(kMany)));
    co_await writes.wait();
    EXPECT_EQ(writer->blocks_written(), kFew + kMany);
    co_await writer->wait_idle();
    writer.reset();
    co_await on.turn_end();
  }(executor, device));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

}  // namespace
}  // namespace uvdo
