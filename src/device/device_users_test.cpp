// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/device_users.h"

#include <fstream>

#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device/testing/made_up_machine.h"

namespace uvdo {
namespace {

using testing::MadeUpMachine;
using Texts = std::vector<std::string>;

/// A machine with an empty /proc.
class DeviceUsersTest : public ::testing::Test {
 protected:
  DeviceUsersTest() {
    std::filesystem::create_directories(proc() + "/self");
    machine_.add_device("sda", "8:0");
    machine_.add_partition("sda", "sda1", "8:1", 2048, 4096);
  }
  [[nodiscard]] std::string proc() const { return machine_.path("proc"); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(proc() + "/" + name) << text;
  }
  /// A process that has `path` open.
  void add_process(const std::string& pid, const std::string& path) const {
    std::filesystem::create_directories(proc() + "/" + pid + "/fd");
    std::filesystem::create_symlink(path, proc() + "/" + pid + "/fd/3");
  }
  [[nodiscard]] Texts users_of(const StorageId& id) const {
    return DeviceUsers(machine_.map(), proc()).of(id);
  }
  [[nodiscard]] Texts users_of_disk() const {
    return users_of({StorageId::Kind::block, makedev(8, 0), 0});
  }

  MadeUpMachine machine_;
};

TEST_F(DeviceUsersTest, NobodyUsesADeviceThatOnlyExists) { EXPECT_EQ(users_of_disk(), Texts{}); }

TEST_F(DeviceUsersTest, MountsOfTheDeviceAndOfItsPartitionsAreTold) {
  write("self/mountinfo",
        "20 1 0:18 / /proc rw,nosuid shared:5 - proc proc rw\n"
        "31 1 8:1 / /mnt/part rw - ext4 /dev/sda1 rw\n"
        "32 1 8:0 / /mnt/whole\\040disk rw shared:7 - xfs /dev/sda rw\n"
        "33 1 8:16 / /other rw - ext4 /dev/sdb rw\n");
  EXPECT_EQ(users_of_disk(), (Texts{"mounted on /mnt/part", "mounted on /mnt/whole disk"}));
}

TEST_F(DeviceUsersTest, DevicesThatKeepItAreTold) {
  machine_.add_map("dm-0", "254:0", 4096, {"sda"});
  EXPECT_EQ(users_of_disk(), (Texts{"held by dm-0"}));
}

TEST_F(DeviceUsersTest, AMachineThatGoesDownEndsMountsButKeepsWhatIsMadeOfADevice) {
  machine_.add_map("dm-0", "254:0", 4096, {"sda"});
  const StorageId disk{StorageId::Kind::block, makedev(8, 0), 0};
  EXPECT_EQ(DeviceUsers(machine_.map(), proc()).last_of(disk), Texts{});
  write("self/mountinfo", "31 1 8:1 / /mnt/part rw - ext4 /dev/sda1 rw\n");
  EXPECT_EQ(DeviceUsers(machine_.map(), proc()).last_of(disk), (Texts{"mounted on /mnt/part"}));
}

TEST_F(DeviceUsersTest, ProcessesThatHaveItOpenAreToldButNotThisOne) {
  const std::string file = machine_.make_file("volume");
  add_process("4194305", file);  // above every real number
  add_process(std::to_string(getpid()), file);
  add_process("4194306", machine_.make_file("other"));
  EXPECT_EQ(users_of(machine_.id_of("volume")), (Texts{"open in process 4194305"}));
}

TEST_F(DeviceUsersTest, WorkersOfUdevThatLookAtItDoNotCount) {
  const std::string file = machine_.make_file("volume");
  add_process("4194305", file);
  write("4194305/comm", "(udev-worker)\n");
  EXPECT_EQ(users_of(machine_.id_of("volume")), Texts{});
  write("4194305/comm", "fio\n");
  EXPECT_EQ(users_of(machine_.id_of("volume")), (Texts{"open in process 4194305"}));
}

TEST_F(DeviceUsersTest, SwapIsTold) {
  const std::string file = machine_.make_file("volume");
  write("swaps", "Filename Type Size Used Priority\n" + file + " file 1024 0 -2\n");
  EXPECT_EQ(users_of(machine_.id_of("volume")), (Texts{"in use as swap"}));
}

}  // namespace
}  // namespace uvdo
