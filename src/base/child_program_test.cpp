// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/child_program.h"

#include <array>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(PipedProgram, GivesItsOutputAndItsEnd) {
  auto program = PipedProgram::start({"sh", "-c", "printf abcdef; echo sorry >&2; exit 3"});
  ASSERT_TRUE(program);
  std::array<std::byte, 4> bytes{};
  auto got = program->read(bytes);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 4U);
  got = program->read(bytes);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 2U);
  EXPECT_EQ(bytes[1], std::byte{'f'});
  auto ended = program->finish();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->status, 3);
  EXPECT_EQ(ended->error_text, "sorry");
}

TEST(PipedProgram, EndsWithItsOwner) {
  auto program = PipedProgram::start({"sh", "-c", "exec sleep 1000"});
  ASSERT_TRUE(program);
  const PipedProgram taken = std::move(*program);
}

TEST(PipedProgram, SaysThatThereIsNoSuchProgram) {
  EXPECT_FALSE(PipedProgram::start({"/there/is/no/such/program"}));
}

}  // namespace
}  // namespace uvdo
