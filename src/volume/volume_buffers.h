// SPDX-License-Identifier: GPL-2.0-or-later
// The memory for data in a volume. There are several pools, so that nobody who has a buffer waits
// for another of the same pool.
#pragma once

#include "async/buffer_pool.h"
#include "volume/volume_options.h"

namespace uvdo {

struct VolumeBuffers {
  VolumeBuffers(Executor& executor, const VolumeOptions& options)
      : clients(executor, options.buffer_bytes),
        merge(executor, options.internal_buffer_bytes),
        part(executor, options.internal_buffer_bytes / 4),
        scratch(executor, options.internal_buffer_bytes),
        fragments(executor, options.internal_buffer_bytes) {}

  BufferPool clients;    ///< data of writes
  BufferPool merge;      ///< sub-block writes; held while only scratch is waited for
  BufferPool part;       ///< sub-block reads, which wait for no write; held like those
  BufferPool scratch;    ///< reads of the volume itself; held while only `fragments` is waited for
  BufferPool fragments;  ///< compressed blocks; nothing is waited for while held
};

}  // namespace uvdo
