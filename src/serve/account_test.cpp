// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/account.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace uvdo {
namespace {

namespace fs = std::filesystem;

/// Files of TLS, which root has made for itself.
class AccountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root may become another user";
    fs::create_directory(folder_);
    fs::permissions(folder_, fs::perms{0755});
    auto found = Account::find("nobody");
    if (!found) GTEST_SKIP() << "there is no user nobody";
    account_ = std::move(*found);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void make(const std::string& name, unsigned mode) const {
    std::ofstream(folder_ / name) << "key\n";
    fs::permissions(folder_ / name, fs::perms{mode});
  }
  /// "": the account may reopen the store.
  [[nodiscard]] std::string refused(const std::string& parameter) const {
    const auto allowed = account_.check_may_reopen("nbds://host/x?" + parameter, true);
    return allowed ? "" : allowed.error().message();
  }

  const fs::path folder_ = fs::path("/tmp") / ("uvdo-account-" + std::to_string(getpid()));
  Account account_;
};

TEST_F(AccountTest, MustReadTheKeyFileOfAStore) {
  make("key", 0600);
  const std::string parameter = "tls-psk-file=" + (folder_ / "key").string();
  EXPECT_NE(refused(parameter).find("the user nobody may not open " + folder_.string()),
            std::string::npos);
  make("key", 0644);
  EXPECT_EQ(refused(parameter), "");
}

TEST_F(AccountTest, MustReadTheCertificatesOfAStore) {
  make("ca-cert.pem", 0644);
  make("client-key.pem", 0600);
  const std::string parameter = "tls-certificates=" + folder_.string();
  EXPECT_NE(refused(parameter).find("client-key.pem"), std::string::npos);
  make("client-key.pem", 0644);
  EXPECT_EQ(refused(parameter), "");
  fs::permissions(folder_, fs::perms{0700});
  EXPECT_NE(refused(parameter), "");
}

}  // namespace
}  // namespace uvdo
