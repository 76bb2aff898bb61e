// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/uds_index_factory.h"

#include <fmt/core.h>

#include "volume/remote_index.h"

namespace uvdo {
namespace {

Result<std::unique_ptr<DedupeIndex>> start_index(WorkPlace work, Executor& executor, Device& device,
                                                 const UdsParameters& parameters, LogFunction log) {
  const auto as_index = [](auto started) -> Result<std::unique_ptr<DedupeIndex>> {
    if (!started) return std::move(started).error();
    return std::unique_ptr<DedupeIndex>(std::move(*started));
  };
  if (work.thread() == nullptr) {
    return as_index(UdsIndex::start(executor, device, parameters, std::move(log)));
  }
  return as_index(RemoteIndex::start(*work.thread(), executor, device, parameters, std::move(log)));
}

}  // namespace

UdsParameters uds_parameters(const VolumeGeometry& geometry, bool create) {
  UdsParameters parameters;
  parameters.memory = geometry.index_memory;
  parameters.sparse = geometry.sparse;
  parameters.region_start = device_byte(geometry.index_start, geometry.bio_offset) / kBlockSize;
  parameters.region_blocks = geometry.index_blocks();
  parameters.nonce = geometry.nonce;
  parameters.create = create;
  return parameters;
}

IndexFactory uds_index_factory(LogFunction log, WorkPlace work) {
  return [log = std::move(log), work](Executor& executor, Device& device,
                                      const VolumeGeometry& geometry,
                                      bool create) -> std::unique_ptr<DedupeIndex> {
    const UdsParameters parameters = uds_parameters(geometry, create);
    auto index = start_index(work, executor, device, parameters, log);
    if (!index) {
      log({LogLevel::warning, fmt::format("no deduplication: {}", index.error().message())});
      return nullptr;
    }
    return std::move(*index);
  };
}

}  // namespace uvdo
