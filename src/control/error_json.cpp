// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/error_json.h"

#include "base/json_fields.h"

namespace uvdo {
namespace {

struct ErrorFields {
  std::string code{name_of(Errc::io)};
  std::string message;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("code", self.code);
    v.required("message", self.message);
  }
};

}  // namespace

Json error_json(const Error& error) {
  return fields_json(ErrorFields{std::string(name_of(error.code())), error.message()});
}

std::optional<Error> error_in(const Json& json) {
  ErrorFields fields;
  if (read_fields(json, fields)) return std::nullopt;
  return Error(errc_of(fields.code), fields.message);
}

}  // namespace uvdo
