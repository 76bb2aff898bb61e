// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/registry.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/testing/temporary_folder.h"
#include "format/uuid_text.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

class RegistryTest : public ::testing::Test {
 protected:
  static NamedVolume volume(const std::string& name) {
    NamedVolume made;
    made.name = name;
    made.uuid = random_uuid();
    made.storage = "/srv/" + name;
    return made;
  }
  Registry::Lock locked() const {
    auto lock = registry_.lock();
    EXPECT_TRUE(lock.ok()) << lock.error().message();
    return std::move(*lock);
  }
  void add(const NamedVolume& made) const {
    auto done = registry_.add(made, locked());
    EXPECT_TRUE(done.ok()) << done.error().message();
  }
  static std::string contents(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  testing::TemporaryFolder folder_;
  Registry registry_{folder_.path() + "/etc"};
};

TEST_F(RegistryTest, FindsWhatWasAdded) {
  const NamedVolume made = volume("a");
  add(made);
  auto found = registry_.find("a");
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(*found, made);
  EXPECT_EQ(registry_.find(made.uuid), made);
  EXPECT_EQ(registry_.find(random_uuid()), std::nullopt);
  EXPECT_TRUE(registry_.has("a"));
  EXPECT_FALSE(registry_.has("b"));
  EXPECT_EQ(registry_.find("b").error().code(), Errc::not_found);
}

TEST_F(RegistryTest, IsEmptyWithoutAFolder) {
  EXPECT_TRUE(registry_.all().volumes.empty());
  EXPECT_TRUE(registry_.all().unreadable.empty());
}

TEST_F(RegistryTest, HasNoNamesOutsideOfItsFolder) {
  add(volume("a"));
  EXPECT_FALSE(registry_.has("../volumes.d/a"));
  EXPECT_FALSE(registry_.add(volume("../a"), locked()).ok());
}

TEST_F(RegistryTest, RefusesANameTwice) {
  const NamedVolume first = volume("a");
  add(first);
  auto second = registry_.add(volume("a"), locked());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Errc::exists);
  EXPECT_EQ(*registry_.find("a"), first);
}

TEST_F(RegistryTest, ListsAllByNameAndWhatCannotBeRead) {
  add(volume("b"));
  add(volume("a"));
  std::ofstream(registry_.path_of("broken")) << "uuid = 1\n";
  std::ofstream(registry_.path_of("a") + "~") << "what an editor leaves\n";
  const NamedVolumes all = registry_.all();
  ASSERT_EQ(all.volumes.size(), 2U);
  EXPECT_EQ(all.volumes[0].name, "a");
  EXPECT_EQ(all.volumes[1].name, "b");
  ASSERT_EQ(all.unreadable.size(), 1U);
  EXPECT_NE(all.unreadable[0].message().find("broken.toml, line 1"), std::string::npos);
}

TEST_F(RegistryTest, ReplacesAFileAsAWhole) {
  NamedVolume made = volume("a");
  add(made);
  // Who has the old file open goes on to see the old text: it was not written into.
  std::ifstream before(registry_.path_of("a"));
  made.serve.set("cache", std::string("1G"));
  ASSERT_TRUE(registry_.replace(made, locked()).ok());
  std::ostringstream text;
  text << before.rdbuf();
  EXPECT_EQ(text.str().find("cache"), std::string::npos);
  EXPECT_EQ(*registry_.find("a"), made);
  EXPECT_FALSE(registry_.replace(volume("b"), locked()).ok());
  // Nothing but the file and the lock is left.
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry :
       fs::directory_iterator(registry_.folder() + "/volumes.d"))
    ++files;
  EXPECT_EQ(files, 2U);
}

TEST_F(RegistryTest, KeepsTheOldFileWhenTheNewOneWouldNotBeReadable) {
  NamedVolume made = volume("a");
  add(made);
  const std::string before = contents(registry_.path_of("a"));
  made.storage = "/srv/\xff";  // no UTF-8
  EXPECT_FALSE(registry_.replace(made, locked()).ok());
  EXPECT_EQ(contents(registry_.path_of("a")), before);
}

TEST_F(RegistryTest, RefusesAVolumeTwice) {
  const NamedVolume first = volume("a");
  add(first);
  NamedVolume second = volume("b");
  second.uuid = first.uuid;
  EXPECT_EQ(registry_.add(second, locked()).error().code(), Errc::exists);
  EXPECT_FALSE(registry_.has("b"));
}

TEST_F(RegistryTest, WritesNoPathWithControlCharacters) {
  NamedVolume made = volume("a");
  made.storage = "/srv/a\nb";
  EXPECT_EQ(registry_.add(made, locked()).error().code(), Errc::invalid_argument);
  EXPECT_FALSE(registry_.has("a"));
}

TEST_F(RegistryTest, FindsTheSameVolumeAgain) {
  NamedVolume made = volume("a");
  EXPECT_EQ(registry_.find_again(made).error().code(), Errc::not_found);
  add(made);
  EXPECT_TRUE(registry_.find_again(made).ok());
  made.uuid = random_uuid();
  EXPECT_EQ(registry_.find_again(made).error().code(), Errc::busy);
}

TEST_F(RegistryTest, KeepsTheModeOfAFile) {
  const NamedVolume made = volume("a");
  add(made);
  fs::permissions(registry_.path_of("a"), fs::perms::owner_read | fs::perms::owner_write);
  ASSERT_TRUE(registry_.replace(made, locked()).ok());
  EXPECT_EQ(fs::status(registry_.path_of("a")).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(RegistryTest, Removes) {
  add(volume("a"));
  ASSERT_TRUE(registry_.remove("a", locked()).ok());
  EXPECT_FALSE(registry_.has("a"));
  EXPECT_EQ(registry_.remove("a", locked()).error().code(), Errc::not_found);
}

TEST_F(RegistryTest, RenamesButOverNoOther) {
  add(volume("a"));
  add(volume("b"));
  EXPECT_EQ(registry_.rename("a", "b", locked()).error().code(), Errc::exists);
  EXPECT_EQ(registry_.rename("a", "x/y", locked()).error().code(), Errc::invalid_argument);
  ASSERT_TRUE(registry_.rename("a", "c", locked()).ok());
  EXPECT_FALSE(registry_.has("a"));
  EXPECT_EQ(registry_.find("c")->storage, "/srv/a");
  EXPECT_NE(contents(registry_.path_of("c")).find("# The volume \"c\""), std::string::npos);
  // Who has the file open sees that it was renamed, and not written anew beside the old one: there
  // is no moment at which a volume has two names.
  std::ifstream before(registry_.path_of("b"));
  fs::create_directory(registry_.folder() + "/volumes.d/.d.toml.new");  // nothing can be written
  EXPECT_FALSE(registry_.rename("b", "d", locked()).ok());
  EXPECT_FALSE(registry_.has("b"));
  EXPECT_EQ(registry_.find("d")->storage, "/srv/b");
}

TEST_F(RegistryTest, IsChangedByOneAtATime) {
  auto first = registry_.lock();
  ASSERT_TRUE(first.ok());
  auto second = registry_.lock(LockPatience(std::chrono::milliseconds(1)));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Errc::busy);
  { const Registry::Lock ended = std::move(*first); }
  EXPECT_TRUE(registry_.lock().ok());
}

TEST_F(RegistryTest, IsWhereTheEnvironmentSays) {
  setenv(kConfigFolderVariable, "/elsewhere", 1);
  EXPECT_EQ(Registry::of_environment().folder(), "/elsewhere");
  EXPECT_EQ(Registry::of_environment().path_of("a"), "/elsewhere/volumes.d/a.toml");
  unsetenv(kConfigFolderVariable);
  EXPECT_EQ(Registry::of_environment().folder(), Registry::default_folder());
}

}  // namespace
}  // namespace uvdo
