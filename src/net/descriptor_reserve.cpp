// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/descriptor_reserve.h"

#include <fcntl.h>
#include <sys/resource.h>

namespace uvdo {

DescriptorReserve::DescriptorReserve(std::size_t count) : wanted_(count) {
  kept_.reserve(count);
  refill();
  // A process that has not got so many at its start is not reminded of it at each refill().
  wanted_ = kept_.size();
}

bool DescriptorReserve::lend() {
  if (kept_.empty()) return false;
  kept_.pop_back();
  return true;
}

bool DescriptorReserve::refill() {
  while (kept_.size() < wanted_) {
    FileDescriptor fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd) return false;
    kept_.push_back(std::move(fd));
  }
  return true;
}

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  // Where nobody tells the limit none is assumed: a shortage is then met when it comes.
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return UINT64_MAX;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

}  // namespace uvdo
