// SPDX-License-Identifier: GPL-2.0-or-later
// libFuzzer target: a whole NBD connection fed with arbitrary bytes. The first byte chooses how
// the bytes arrive and what is served; the rest is what the client sends.
#include "nbd/testing/nbd_script.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  uvdo::testing::NbdRun::Options options;
  options.read_only = (data[0] & 1U) != 0;
  options.longest_piece = std::size_t{1} << ((data[0] >> 1U) % 16U);
  options.server_requests = (data[0] & 0x80U) != 0 ? 1 : 32;
  options.fail_at = (data[0] & 0x40U) != 0 ? 5000 : UINT64_MAX;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  uvdo::testing::run_nbd({bytes + 1, bytes + size}, options);
  return 0;
}
