// SPDX-License-Identifier: GPL-2.0-or-later
// Requests as browsers send them, as nobody should, and from pages that have no business here.
#include "watch/http_request.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(HttpRequest, HasMethodPathQueryAndHost) {
  const auto request = HttpRequest::parse(
      "GET /history.json?after=17&x HTTP/1.1\r\nAccept: */*\r\nhOST: \t localhost:8080 \r\n\r\n");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->method, "GET");
  EXPECT_EQ(request->path, "/history.json");
  EXPECT_EQ(request->query, "after=17&x");
  EXPECT_EQ(request->host, "localhost:8080");
  EXPECT_EQ(request->number("after"), 17U);
  EXPECT_EQ(request->number("aft"), std::nullopt);
  EXPECT_EQ(request->number("x"), std::nullopt);
}

TEST(HttpRequest, MayHaveNoHostAndPlainLineEnds) {
  const auto request = HttpRequest::parse("HEAD / HTTP/1.0\n\n");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->path, "/");
  EXPECT_FALSE(request->host.has_value());
}

TEST(HttpRequest, IsWholeOnceAnEmptyLineHasCome) {
  EXPECT_FALSE(HttpRequest::is_whole("GET / HTTP/1.1\r\nHost: x\r\n"));
  EXPECT_TRUE(HttpRequest::is_whole("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
}

TEST(HttpRequest, IsRefusedWhereItIsMalformed) {
  for (const std::string_view text : {
           std::string_view("nonsense\r\n\r\n"),
           std::string_view("\r\n\r\n"),
           std::string_view("GET /\r\n\r\n"),
           std::string_view("GET / HTTP/2\r\n\r\n"),
           std::string_view(" / HTTP/1.1\r\n\r\n"),
           std::string_view("G\0T / HTTP/1.1\r\n\r\n", 18),
           std::string_view("GET http://localhost/ HTTP/1.1\r\n\r\n"),
           std::string_view("GET /\x80 HTTP/1.1\r\n\r\n"),
           std::string_view("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
           std::string_view("GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
           std::string_view("GET / HTTP/1.1\r\nA: b\r\n Host: c\r\n\r\n"),
           std::string_view("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
       }) {
    EXPECT_FALSE(HttpRequest::parse(text).ok()) << text;
  }
}

TEST(HttpRequest, ANumberIsAWholeOne) {
  for (const char* query : {"after=", "after=x", "after=-1", "after=1x", "after",
                            "after=99999999999999999999", "before=1"}) {
    HttpRequest request;
    request.query = query;
    EXPECT_EQ(request.number("after"), std::nullopt) << query;
  }
}

TEST(OwnHost, IsAnAddressOrThisMachine) {
  for (const char* host : {"127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "192.168.1.5", "localhost",
                           "LocalHost:1", "uvdo.localhost", "NAS.local:80"}) {
    EXPECT_TRUE(is_own_host(host, {"nas.local"})) << host;
  }
}

TEST(OwnHost, IsNoNameThatOthersCanLeadHere) {
  for (const char* host : {"", "evil.example", "evil.example:8080", "127.0.0.1.evil.example",
                           "localhost.evil.example", "evillocalhost", "nas.local.evil.example",
                           "127.1", "localhost:", "localhost:80x", "localhost:80:80", "[::1",
                           "[::1]x", "[localhost.evil.example]", "localhost@evil.example"}) {
    EXPECT_FALSE(is_own_host(host, {"nas.local"})) << host;
  }
}

}  // namespace
}  // namespace uvdo
