// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/uds_index_factory.h"

#include <fmt/format.h>

#include "index/uds_index.h"

namespace uvdo {

IndexFactory uds_index_factory(LogFunction log) {
  return [log = std::move(log)](Executor& executor, Device& device, const VolumeGeometry& geometry,
                                bool create) -> std::unique_ptr<DedupeIndex> {
    UdsParameters parameters;
    parameters.memory = geometry.index_memory;
    parameters.sparse = geometry.sparse;
    parameters.region_start = geometry.index_start.value() - geometry.bio_offset;
    parameters.region_blocks = geometry.index_blocks();
    parameters.nonce = geometry.nonce;
    parameters.create = create;
    auto index = UdsIndex::start(executor, device, parameters, [log](std::string_view line) {
      log({LogLevel::notice, std::string(line)});
    });
    if (!index) {
      log({LogLevel::warning, fmt::format("no deduplication: {}", index.error().message())});
      return nullptr;
    }
    return std::move(*index);
  };
}

}  // namespace uvdo
