// SPDX-License-Identifier: GPL-2.0-or-later
// libFuzzer target: a whole index region with arbitrary damage, which is opened, asked, fed and
// saved. The input is a list of patches of a sound region: 3 bytes of place, 1 of length, bytes.
// Whatever they break, the index ends up online, keeps what it is told, and saves it.
#include <cstdlib>
#include <vector>

#include "async/sim_executor.h"
#include "base/block_types.h"
#include "device/memory_device.h"
#include "index/testing/numbered_names.h"
#include "index/uds_index.h"

namespace uvdo {
namespace {

using test::numbered_name;

constexpr std::uint64_t kNames = 4500;

void require(bool condition) {
  if (!condition) std::abort();
}

class Region {
 public:
  Region() : geometry_(index_geometry_of(1, 8, 0)) {
    auto made = MemoryDevice::create((1 + geometry_.region_blocks) * kBlockSize);
    require(made.ok());
    device_ = std::move(*made);
  }
  MutableBytes bytes() { return device_->bytes().subspan(kBlockSize); }

  /// Opens the index, looks names up, records those that are not found, and saves.
  void use(bool create, std::uint64_t first, std::uint64_t last) {
    SimExecutor executor(SimExecutorOptions{.seed = 1});
    UdsParameters parameters;
    parameters.region_start = 1;
    parameters.region_blocks = geometry_.region_blocks;
    parameters.nonce = 77;
    parameters.create = create;
    parameters.geometry = geometry_;
    auto started = UdsIndex::start(executor, *device_, parameters, {});
    require(started.ok());
    const std::unique_ptr<UdsIndex> index = std::move(*started);
    const auto outcome = executor.run(use_index(*index, first, last));
    require(static_cast<bool>(outcome));
  }

 private:
  static Task<void> use_index(UdsIndex& index, std::uint64_t first, std::uint64_t last) {
    co_await index.wait_opened();
    // Only a version of the format that we must leave alone keeps it from coming up.
    if (index.state() == IndexState::online) {
      std::vector<IndexQuery> queries(25);
      for (std::uint64_t i = first; i < last; i += queries.size()) {
        for (std::size_t j = 0; j < queries.size(); ++j) queries[j].name = numbered_name(i + j);
        co_await index.lookup(queries);
        for (const IndexQuery& query : queries) {
          if (!query.found) index.record(query, IndexData{});
        }
        co_await index.wait_written();
      }
      // What was asked last is known now.
      co_await index.lookup(queries);
      for (const IndexQuery& query : queries) require(query.found);
      const auto saved = co_await index.save();
      require(saved.ok());
    } else {
      require(index.state() == IndexState::error);
      co_await index.close();
    }
  }

  IndexGeometry geometry_;
  std::unique_ptr<MemoryDevice> device_;
};

}  // namespace
}  // namespace uvdo

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using uvdo::Region;
  static Region region;
  static const std::vector<std::byte> sound = [] {
    // Names of some chapters, saved twice.
    region.use(true, 0, uvdo::kNames);
    region.use(false, uvdo::kNames, uvdo::kNames + 25);
    return std::vector<std::byte>(region.bytes().begin(), region.bytes().end());
  }();
  std::copy(sound.begin(), sound.end(), region.bytes().begin());
  const std::uint8_t* const end = data + size;
  while (end - data >= 4) {
    const std::size_t at =
        (data[0] + std::size_t{data[1]} * 256 + std::size_t{data[2]} * 65536) % sound.size();
    std::size_t length = std::min<std::size_t>(data[3], static_cast<std::size_t>(end - data) - 4);
    length = std::min(length, sound.size() - at);
    for (std::size_t i = 0; i < length; ++i) {
      region.bytes()[at + i] = static_cast<std::byte>(data[4 + i]);
    }
    data += 4 + length;
  }
  region.use(false, 2000, 3000);
  region.use(false, 0, 500);
  return 0;
}
