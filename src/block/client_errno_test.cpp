// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/client_errno.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(ClientErrno, WhatIsOurFaultIsAnErrorOfTheDevice) {
  for (const Errc code :
       {Errc::io, Errc::corrupt, Errc::read_only, Errc::not_found, Errc::exists, Errc::busy}) {
    EXPECT_EQ(client_errno(code), EIO) << name_of(code);
  }
}

TEST(ClientErrno, WhatClientsCanDoSomethingAboutHasItsOwn) {
  EXPECT_EQ(client_errno(Errc::no_space), ENOSPC);
  EXPECT_EQ(client_errno(Errc::out_of_range), EINVAL);
  EXPECT_EQ(client_errno(Errc::unsupported), EOPNOTSUPP);
  EXPECT_EQ(client_errno(Errc::cancelled), ESHUTDOWN);
  EXPECT_EQ(client_errno(Errc::no_memory), ENOMEM);
}

}  // namespace
}  // namespace uvdo
