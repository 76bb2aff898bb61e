// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/service_unit.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

TEST(ServiceUnit, IsTheLastPartOfTheGroupOfANamedVolume) {
  const testing::TemporaryFolder folder;
  const std::string root = folder.path("root");
  std::filesystem::create_directories(root + "/proc/17");
  const auto unit_in = [&](const char* groups) {
    std::ofstream(root + "/proc/17/cgroup") << groups;
    return service_unit_of(17, root).value_or("");
  };
  EXPECT_EQ(unit_in("0::/system.slice/system-uvdo.slice/uvdo@data.service\n"), "uvdo@data.service");
  EXPECT_EQ(unit_in("1:cpu:/\n0::/system.slice/uvdo@a\\x2db.service\n"), "uvdo@a\\x2db.service");
  EXPECT_EQ(unit_in("0::/user.slice/user-0.slice/session-3.scope\n"), "");
  EXPECT_EQ(unit_in("0::/system.slice/uvdo-nbd@data.service\n"), "");
  EXPECT_EQ(unit_in("0::/system.slice/uvdo@data.service/inner\n"), "");
  EXPECT_FALSE(service_unit_of(18, root)) << "there is no such process";
}

}  // namespace
}  // namespace uvdo
