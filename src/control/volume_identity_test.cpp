// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/volume_identity.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "device/testing/made_up_machine.h"

namespace uvdo {
namespace {

class VolumeIdentity : public ::testing::Test {
 protected:
  VolumeIdentity() : volume_(machine_.make_file("v.img")), other_(machine_.make_file("w.img")) {}
  HelloAnswer hello() {
    return hello_of(volume_, machine_.map().beneath(machine_.id_of("v.img"), volume_));
  }
  bool is_same(const HelloAnswer& hello, const std::string& volume) {
    return check_hello(hello, volume, machine_.map()).ok();
  }
  testing::MadeUpMachine machine_;
  std::string volume_;
  std::string other_;
};

TEST_F(VolumeIdentity, AnotherVolumeIsRefusedWithBothNames) {
  EXPECT_TRUE(is_same(hello(), volume_));
  const auto refused = check_hello(hello(), other_, machine_.map());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Errc::invalid_argument);
  EXPECT_EQ(refused.error().message(), "the server at that control socket has another volume, " +
                                           volume_ + ", and not " + other_ +
                                           "; nothing was asked of it");
}

TEST_F(VolumeIdentity, AllNamesOfTheVolumeAreRight) {
  std::filesystem::create_hard_link(volume_, machine_.path("hard.img"));
  std::filesystem::create_symlink(volume_, machine_.path("soft.img"));
  EXPECT_TRUE(is_same(hello(), machine_.path("hard.img")));
  EXPECT_TRUE(is_same(hello(), machine_.path("soft.img")));
}

TEST_F(VolumeIdentity, ACopyIsAnotherVolume) {
  std::filesystem::copy_file(volume_, machine_.path("copy.img"));
  EXPECT_FALSE(is_same(hello(), machine_.path("copy.img")));
}

TEST_F(VolumeIdentity, WhereTheVolumeWasMovedAwayItsOldNameIsRightAndTheNewOneToo) {
  const HelloAnswer said = hello();
  std::filesystem::rename(volume_, machine_.path("moved.img"));
  EXPECT_TRUE(is_same(said, volume_));
  EXPECT_TRUE(is_same(said, machine_.path("moved.img")));
  std::filesystem::rename(other_, volume_);
  EXPECT_FALSE(is_same(said, volume_)) << "another one has taken its name";
}

TEST_F(VolumeIdentity, OfASuspendedVolumeThePathCounts) {
  const HelloAnswer said = hello_of(volume_, {});
  EXPECT_FALSE(is_same(said, other_));
  std::filesystem::rename(other_, volume_);
  EXPECT_TRUE(is_same(said, volume_)) << "it goes on with what is in its place";
}

TEST_F(VolumeIdentity, OfASuspendedVolumeBehindANetworkEachSpellingIsRight) {
  const HelloAnswer said = hello_of("nbd://store.example/vol1", {});
  EXPECT_TRUE(is_same(said, "NBD://STORE.example:10809/vol%31"));
  EXPECT_FALSE(is_same(said, "nbd://store.example/vol2"));
}

TEST_F(VolumeIdentity, NonsenseIsRefused) {
  for (const Json& said : {Json(), Json(7), Json::object(), Json{{"volume", 7}}}) {
    EXPECT_FALSE(read_answer<HelloAnswer>(said).ok()) << json_text(said);
  }
}

}  // namespace
}  // namespace uvdo
