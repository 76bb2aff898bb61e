// SPDX-License-Identifier: GPL-2.0-or-later
#include "arguments/arguments.h"

#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/print.h"

namespace uvdo {

using Option = Arguments::Option;

Option Option::required(bool is_required) {
  option_->required(is_required);
  return *this;
}

Option Option::one_value_each() {
  option_->allow_extra_args(false);
  return *this;
}

Option Option::delimiter(char separator) {
  option_->delimiter(separator);
  return *this;
}

Option Option::show_default() {
  option_->capture_default_str();
  return *this;
}

Option Option::show_default(std::string text) {
  option_->default_str(std::move(text));
  return *this;
}

Option Option::range(std::int64_t least, std::int64_t most) {
  option_->check(CLI::Range(least, most));
  return *this;
}

Option Option::one_of(std::vector<std::string> words) {
  option_->check(CLI::IsMember(std::move(words)));
  return *this;
}

Option Option::check(std::function<std::string(const std::string&)> check) {
  option_->check(std::move(check));
  return *this;
}

Option Option::transform(std::function<Result<std::string>(const std::string&)> change) {
  // CLI11 shows an exception of this kind as it shows its own complaints.
  option_->transform([change = std::move(change)](const std::string& value) {
    auto changed = change(value);
    if (!changed) throw CLI::ValidationError(changed.error().message());
    return std::move(*changed);
  });
  return *this;
}

Option Option::excludes(Option other) {
  option_->excludes(other.option_);
  return *this;
}

Option Option::needs(Option other) {
  option_->needs(other.option_);
  return *this;
}

Arguments::Arguments(std::string description, std::string name)
    : app_(std::make_unique<CLI::App>(std::move(description), std::move(name))) {}

Arguments::~Arguments() = default;

template <typename T>
Option Arguments::option(const std::string& names, T& value, const std::string& help) {
  return Option(*app_->add_option(names, value, help));
}

// The types that options have: CLI11 stays in this file.
template Option Arguments::option(const std::string&, std::string&, const std::string&);
template Option Arguments::option(const std::string&, int&, const std::string&);
template Option Arguments::option(const std::string&, std::uint16_t&, const std::string&);
template Option Arguments::option(const std::string&, std::uint32_t&, const std::string&);
template Option Arguments::option(const std::string&, std::uint64_t&, const std::string&);
template Option Arguments::option(const std::string&, std::optional<std::uint64_t>&,
                                  const std::string&);
template Option Arguments::option(const std::string&, double&, const std::string&);
template Option Arguments::option(const std::string&, std::vector<std::string>&,
                                  const std::string&);
template Option Arguments::option(const std::string&, std::vector<std::uint32_t>&,
                                  const std::string&);

Option Arguments::flag(const std::string& names, bool& value, const std::string& help) {
  return Option(*app_->add_flag(names, value, help));
}

void Arguments::version(const std::string& text, const std::string& names) {
  app_->set_version_flag(names, text);
}

std::optional<int> Arguments::parse(int argc, char** argv, const Complaint& complain) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    print("{}", app_->help());
    return 0;
  } catch (const CLI::CallForVersion& version) {
    print("{}\n", version.what());
    return 0;
  } catch (const CLI::ParseError& error) {
    const std::string name = app_->get_name();
    if (complain) return complain(fmt::format("{} (see {} --help)", error.what(), name));
    // Of the program itself, "uvdo", and not of its command.
    print_error("{}: {} (see {} --help)\n", name.substr(0, name.find(' ')), error.what(), name);
    return 2;
  }
}

std::string Arguments::name() const { return app_->get_name(); }

std::optional<Arguments::Shape> Arguments::find(const std::string& name) const {
  const CLI::Option* option = std::as_const(*app_).get_option_no_throw(name);
  if (option == nullptr) return std::nullopt;
  // CLI11 counts the words that an option takes: of a flag there are none.
  Shape shape{.names = {},
              .is_flag = option->get_items_expected_max() == 0,
              .takes_several = option->get_items_expected_max() > 1};
  for (const std::string& text : option->get_lnames()) shape.names.push_back("--" + text);
  for (const std::string& text : option->get_snames()) shape.names.push_back("-" + text);
  return shape;
}

std::vector<std::string> Arguments::long_names() const {
  std::vector<std::string> names;
  for (const CLI::Option* option : std::as_const(*app_).get_options()) {
    if (!option->get_lnames().empty()) names.push_back("--" + option->get_lnames().front());
  }
  return names;
}

}  // namespace uvdo
