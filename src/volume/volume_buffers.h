// SPDX-License-Identifier: GPL-2.0-or-later
// The memory for data in a volume. There are several pools, so that nobody who has a buffer waits
// for another of the same pool. Those whose data clients may have been told are written lie in one
// run of memory, which may outlive the process (volume/kept_memory.h).
#pragma once

#include "async/buffer_pool.h"
#include "base/block_arena.h"
#include "volume/pool_sizes.h"
#include "volume/volume_options.h"

namespace uvdo {

struct VolumeBuffers {
  /// `kept`: kept_bytes(options) at a 4096-byte boundary that outlive this; empty: it takes memory
  /// of its own.
  VolumeBuffers(Executor& executor, const VolumeOptions& options, MutableBytes kept = {})
      : clients(executor, options.buffer_bytes, share(kept, 0, client_bytes(options))),
        merge(executor, options.internal_buffer_bytes,
              share(kept, client_bytes(options), merge_bytes(options))),
        part(executor, options.internal_buffer_bytes / 4),
        scratch(executor, options.internal_buffer_bytes),
        fragments(executor, options.internal_buffer_bytes),
        parked(kept.empty() ? BlockArena(parked_blocks(options))
                            : BlockArena(kept.last(parked_blocks(options) * kBlockSize))) {}
  /// Of those whose data clients may have been told are written.
  [[nodiscard]] static std::uint64_t kept_bytes(const VolumeOptions& options) {
    return client_bytes(options) + merge_bytes(options) + parked_blocks(options) * kBlockSize;
  }

  BufferPool clients;    ///< data of writes
  BufferPool merge;      ///< sub-block writes; held while only scratch is waited for
  BufferPool part;       ///< sub-block reads, which wait for no write; held like those
  BufferPool scratch;    ///< reads of the volume itself; held while only `fragments` is waited for
  BufferPool fragments;  ///< compressed blocks; nothing is waited for while held
  BlockArena parked;     ///< data of fragments in the packer

 private:
  static std::uint64_t client_bytes(const VolumeOptions& options) {
    return BufferPool::bytes_for(options.buffer_bytes);
  }
  static std::uint64_t merge_bytes(const VolumeOptions& options) {
    return BufferPool::bytes_for(options.internal_buffer_bytes);
  }
  static MutableBytes share(MutableBytes kept, std::uint64_t offset, std::uint64_t size) {
    return kept.empty() ? kept : kept.subspan(offset, size);
  }
};

}  // namespace uvdo
