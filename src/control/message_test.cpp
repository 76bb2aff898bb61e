// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/message.h"

#include <gtest/gtest.h>

#include "control/growth_message.h"
#include "control/index_message.h"
#include "control/server_messages.h"
#include "control/settings_message.h"
#include "control/suspension_message.h"

namespace uvdo {
namespace {

/// What the server reads from the line that a client writes.
template <class Request>
Result<Request> sent(const Request& request) {
  auto parsed = parse_request(request_text(write_request(request)));
  EXPECT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->command, Request::kCommand);
  return read_request<Request>(parsed->parameters);
}

template <class Request>
std::string refusal_of(std::string_view parameters) {
  const auto read = read_request<Request>(*parse_json(parameters));
  if (read) return "";
  EXPECT_EQ(read.error().code(), Errc::invalid_argument);
  return read.error().message();
}

TEST(Message, TheServerReadsWhatTheClientMeans) {
  SetRequest set;
  set.compression = false;
  set.no_space_timeout = std::chrono::seconds(7);
  const auto settings = sent(set);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->compression, false);
  EXPECT_FALSE(settings->deduplication);
  EXPECT_EQ(settings->no_space_timeout, std::chrono::seconds(7));
  for (const IndexAction action : kIndexActions) {
    EXPECT_EQ(sent(IndexRequest{action})->action, action);
  }
  EXPECT_FALSE(sent(SuspendRequest{false})->flush);
  EXPECT_TRUE(sent(StopRequest()).ok());
  GrowthRequest growth;
  growth.logical_bytes = 4096;
  growth.physical_max = true;
  EXPECT_TRUE(sent(GrowthMessage(growth))->wanted().physical_max);
  EXPECT_EQ(sent(GrowthMessage(growth))->wanted().logical_bytes, 4096U);
  growth.physical_max = false;
  growth.physical_bytes = 8192;
  EXPECT_EQ(sent(GrowthMessage(growth))->wanted().physical_bytes, 8192U);
}

TEST(Message, AWrongParameterIsNamedWithWhatItShouldBe) {
  EXPECT_EQ(refusal_of<SetRequest>(R"({"compression": "on"})"),
            "\"compression\" is set to true or false");
  for (const char* text : {R"({"no-space-timeout": -1})", R"({"no-space-timeout": 86401})",
                           R"({"no-space-timeout": true})"}) {
    EXPECT_EQ(refusal_of<SetRequest>(text), "\"no-space-timeout\" is set to 0 to 86400 seconds");
  }
  for (const char* text : {"{}", R"({"action": 1})", R"({"action": "open"})"}) {
    EXPECT_EQ(refusal_of<IndexRequest>(text), "\"action\" is create, close, enable or disable");
  }
  EXPECT_EQ(refusal_of<GrowthMessage>(R"({"physical": "all"})"),
            "\"physical\" is a number of bytes or \"max\"");
  EXPECT_EQ(refusal_of<GrowthMessage>("{}"), "grow needs \"logical\" or \"physical\"");
  EXPECT_EQ(refusal_of<LogLevelRequest>(R"({"level": 7})"),
            "\"level\" is a name, such as \"debug\"");
}

TEST(Message, AParameterThatTheCommandDoesNotHaveIsRefused) {
  EXPECT_EQ(refusal_of<ResumeRequest>(R"({"now": true})"),
            "\"resume\" has no parameter \"now\"; it takes none");
  EXPECT_EQ(refusal_of<SetRequest>(R"({"compression": true, "colour": 1})"),
            "\"set\" has no parameter \"colour\"; it takes \"compression\", \"deduplication\", "
            "\"write-through\", \"no-space-timeout\"");
}

TEST(Message, AnAnswerMaySayMoreThanIsKnownButNothingWrong) {
  EXPECT_EQ(read_answer<SuspendAnswer>({{"state", "CLEAN"}, {"since", 7}})->state, "CLEAN");
  EXPECT_EQ(read_answer<SuspendAnswer>(Json::object())->state, "unknown");
  for (const Json& json : {Json(), Json(3), Json::array(), Json{{"state", 3}}}) {
    const auto read = read_answer<SuspendAnswer>(json);
    ASSERT_FALSE(read.ok()) << json_text(json);
    EXPECT_EQ(read.error().code(), Errc::protocol);
  }
  GrowthAnswer growth{4096, 8192, false};
  const auto back = read_answer<GrowthAnswer>(write_answer(growth));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->logical, 4096U);
  EXPECT_EQ(back->physical, 8192U);
  EXPECT_FALSE(back->changed);
}

TEST(ControlProtocol, OnlyRequestsOfThisVersionAreRead) {
  for (const auto& [line, code] : std::vector<std::pair<const char*, Errc>>{
           {"", Errc::protocol},
           {"[]", Errc::protocol},
           {R"({"uvdo": 1})", Errc::protocol},
           {R"({"uvdo": 1, "command": 7})", Errc::protocol},
           {R"({"uvdo": 2, "command": "stop"})", Errc::unsupported},
           {R"({"uvdo": "1", "command": "stop"})", Errc::unsupported},
           {R"({"command": "stop"})", Errc::unsupported}}) {
    const auto request = parse_request(line);
    ASSERT_FALSE(request.ok()) << line;
    EXPECT_EQ(request.error().code(), code) << line;
  }
}

TEST(ControlProtocol, RepliesAreResultsOrErrors) {
  EXPECT_EQ(*parse_reply(json_text(result_reply({{"a", 1}}))), (Json{{"a", 1}}));
  const auto error = parse_reply(json_text(error_reply({Errc::no_space, "full"})));
  ASSERT_FALSE(error.ok());
  EXPECT_EQ(error.error().code(), Errc::no_space);
  EXPECT_EQ(error.error().message(), "full");
  for (const char* line : {"", "7", "{}", R"({"ok": 1})", R"({"ok": false})",
                           R"({"ok": false, "error": {"code": "io"}})"}) {
    const auto reply = parse_reply(line);
    ASSERT_FALSE(reply.ok()) << line;
    EXPECT_EQ(reply.error().code(), Errc::protocol) << line;
  }
  EXPECT_EQ(parse_reply(R"({"ok": false, "error": {"message": "x"}})").error().code(), Errc::io);
}

}  // namespace
}  // namespace uvdo
