// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/print.h"

#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace uvdo {
namespace {

/// The exit status of a child that runs `body`; a signal that ended it, negative.
template <typename Body>
int status_of_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(Print, WhatCannotBePrintedIsNoticedAtTheEndAndEndsNothing) {
  const auto print_much = [](const char* place) {
    return [place] {
      if (dup2(open(place, O_WRONLY), STDOUT_FILENO) != STDOUT_FILENO) return 99;
      for (int i = 0; i < 10'000; ++i) print("line {}\n", i);
      return finish_output() ? 0 : 1;
    };
  };
  EXPECT_EQ(status_of_child(print_much("/dev/null")), 0);
  EXPECT_EQ(status_of_child(print_much("/dev/full")), 1);
}

TEST(Print, ErrorsThatNobodyTakesAreLostAndEndNothing) {
  for (const bool is_full : {false, true}) {
    EXPECT_EQ(status_of_child([&] {
                int ends[2] = {-1, -1};
                if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) return 99;
                if (!is_full) close(ends[0]);
                if (is_full && dup2(open("/dev/full", O_WRONLY), STDERR_FILENO) < 0) return 99;
                print_error("nobody reads this\n");
                return 7;
              }),
              7);
  }
}

TEST(Print, AReaderThatStallsDoesNotHoldUpWhoPrintsMuch) {
  EXPECT_EQ(status_of_child([] {
              int ends[2] = {-1, -1};
              if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) return 99;
              fcntl(ends[1], F_SETPIPE_SZ, 4096);
              alarm(30);  // it ends the child
              print_error("{}\n", std::string(20'000, 'x'));
              return 7;
            }),
            7);
}

TEST(Print, ClosedDescriptorsAreReservedAndWhatIsPrintedThereHasNotArrived) {
  EXPECT_EQ(status_of_child([] {
              for (const int fd : {0, 1, 2}) close(fd);
              reserve_standard_descriptors();
              const int next = open("/dev/null", O_RDONLY);
              print("lost");
              print_error("lost");
              return next > 2 && !finish_output() ? 5 : next;
            }),
            5);
}

}  // namespace
}  // namespace uvdo
