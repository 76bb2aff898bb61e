// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/device_feed.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/block_types.h"
#include "base/page_memory.h"
#include "device/sparse_device.h"

namespace uvdo {
namespace {

/// Fails where a read touches a byte.
class DamagedDevice final : public SparseDevice {
 public:
  DamagedDevice(SparseImage image, std::uint64_t bad) : SparseDevice(std::move(image)), bad_(bad) {}
  void submit(Request& request) override {
    if (request.offset > bad_ || bad_ - request.offset >= request.length) {
      return SparseDevice::submit(request);
    }
    request.error = EIO;
    request.done = true;
  }

 private:
  std::uint64_t bad_;
};

/// All that a feed of a store gives.
struct Fed {
  explicit Fed(std::unique_ptr<BackingStore> store) {
    FeedOptions options;
    options.events.problem = [this](const std::string& text) { problems.push_back(text); };
    DeviceFeed feed("store", std::move(store), options);
    PageMemory memory(kPieceBytes);
    for (;;) {
      auto piece = feed.next(memory.bytes().first(kPieceBytes));
      EXPECT_TRUE(piece) << piece.error().message();
      if (!piece || piece->spans.empty()) break;
      for (const PieceSpan& span : piece->spans) blocks += span.blocks;
    }
  }
  std::vector<std::string> problems;
  std::uint64_t blocks = 0;
};

TEST(DeviceFeed, GivesAllBlocksAndFillsTheLast) {
  const Fed fed(std::make_unique<SparseDevice>(SparseImage(3 * kPieceBytes + 100)));
  EXPECT_EQ(fed.blocks, 3 * kPieceBytes / kBlockSize + 1);
  EXPECT_TRUE(fed.problems.empty());
}

TEST(DeviceFeed, LeavesOutABlockThatCannotBeRead) {
  const std::uint64_t bad = kPieceBytes + 5 * kBlockSize + 512;
  const Fed fed(std::make_unique<DamagedDevice>(SparseImage(3 * kPieceBytes), bad));
  EXPECT_EQ(fed.blocks, 3 * kPieceBytes / kBlockSize - 1);
  ASSERT_EQ(fed.problems.size(), 1U);
  EXPECT_NE(fed.problems[0].find("4096 bytes at 282624 are left out"), std::string::npos)
      << fed.problems[0];
}

}  // namespace
}  // namespace uvdo
