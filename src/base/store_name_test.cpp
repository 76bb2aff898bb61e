// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/store_name.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "base/absolute_path.h"
#include "base/run_folder.h"

namespace uvdo {
namespace {

TEST(StoreName, BeginningTellsTheKind) {
  for (const char* uri : {"nbd://host", "NBD://host", "nbds://host:1/a", "nbd+unix:///?socket=/s",
                          "nbds+unix:///e?socket=/s"}) {
    EXPECT_EQ(kind_of_store(uri), StoreKind::nbd) << uri;
  }
  for (const char* path : {"", "nbd", "nbd:", "./nbd://host", "/dev/nbd0", "7:0", "http://host"}) {
    EXPECT_TRUE(is_path(path)) << path;
  }
}

TEST(StoreName, SpellingsOfOneStoreHaveOneKey) {
  EXPECT_EQ(store_key("nbd://Host/"), "nbd:host:10809/");
  for (const char* uri : {"nbd://HOST:10809/a%20b", "nbds://alice@host/a b?tls-psk-file=/k",
                          "NBD://host/a%20b#part", "nbd://host/a%20b?uvdo-wait=5"}) {
    EXPECT_EQ(store_key(uri), "nbd:host:10809/a b") << uri;
  }
  EXPECT_EQ(store_key("nbd://[::1]/x"), "nbd:[::1]:10809/x");
  EXPECT_EQ(store_key("nbd://[::1]:7/x"), "nbd:[::1]:7/x");
  EXPECT_EQ(store_key("nbds+unix:///x?a=b&socket=%2Ftmp%2Fs"), "nbd:unix:/tmp/s/x");
}

TEST(StoreName, ImagesOfCephHaveParts) {
  const auto place = RbdPlace::of("rbd:pool/a%20b?conf=/etc/c.conf&id=joe&namespace=n");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->pool, "pool");
  EXPECT_EQ(place->image, "a b");
  EXPECT_EQ(place->conf, "/etc/c.conf");
  EXPECT_EQ(place->id, "joe");
  EXPECT_EQ(place->name_space, "n");
  for (const char* wrong :
       {"rbd:", "rbd:pool", "rbd:pool/", "rbd:/image", "rbd:a/b/c", "rbd:a/b?x=1", "rbd:a/b?conf",
        "rbd:a/b?id=", "nbd://a/b", "./rbd:a/b"}) {
    EXPECT_FALSE(RbdPlace::of(wrong)) << wrong;
  }
}

TEST(StoreName, WhoAsksMakesNoOtherImage) {
  EXPECT_EQ(store_key("rbd:pool/a?id=joe"), store_key("RBD:pool/a"));
  EXPECT_NE(store_key("rbd:pool/a?namespace=n"), store_key("rbd:pool/a"));
  EXPECT_NE(store_key("rbd:pool/a?conf=/c"), store_key("rbd:pool/a"));
  EXPECT_EQ(store_key("rbd:pool/a?conf=/etc/ceph/ceph.conf"), store_key("rbd:pool/a"));
}

TEST(StoreName, TheEnvironmentHasNoSayInLocks) {
  const std::string file = file_of_store("nbd://host");
  const char* const before = std::getenv("XDG_RUNTIME_DIR");
  const std::string old = before != nullptr ? before : "";
  setenv("XDG_RUNTIME_DIR", "/elsewhere", 1);
  EXPECT_EQ(file_of_store("nbd://host"), file);
  if (before != nullptr) {
    setenv("XDG_RUNTIME_DIR", old.c_str(), 1);
  } else {
    unsetenv("XDG_RUNTIME_DIR");
  }
}

TEST(StoreName, UrisOfNbdNameTheFilesOfTls) {
  const auto place = NbdPlace::of("nbds://a@h/e?tls-psk-file=/k%20y&tls-certificates=/pki");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->key_file, "/k y");
  EXPECT_EQ(place->certificates, "/pki");
}

TEST(StoreName, DifferentExportsHaveDifferentFiles) {
  EXPECT_EQ(file_of_store("nbd://host"), file_of_store("nbd://host:10809/"));
  EXPECT_NE(file_of_store("nbd://host/a"), file_of_store("nbd://host/b"));
  EXPECT_NE(file_of_store("nbd://host/a"), file_of_store("nbd://host:1/a"));
  EXPECT_TRUE(file_of_store("nbd://host").starts_with(lock_folder() + "/store-"));
}

TEST(StoreName, PathsStandForThemselvesAndUrisAreAbsolute) {
  EXPECT_EQ(file_of_store("a/b"), "a/b");
  EXPECT_EQ(absolute_path("nbd://host//a/../b"), "nbd://host//a/../b");
  EXPECT_EQ(absolute_path("/a/../b"), "/b");
}

}  // namespace
}  // namespace uvdo
