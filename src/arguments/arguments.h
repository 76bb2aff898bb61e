// SPDX-License-Identifier: GPL-2.0-or-later
// The arguments that a program or one of its commands takes. All that CLI11 does happens behind
// this: its headers are so large that each file that includes them takes half a minute to compile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace uvdo {

class Arguments {
 public:
  /// An option just added, to say more of it.
  class Option {
   public:
    explicit Option(CLI::Option& option) : option_(&option) {}

    Option required(bool is_required = true);
    /// Each value needs the option's name before it; by default a list takes all words that follow.
    Option one_value_each();
    /// A list in one word is parted here.
    Option delimiter(char separator);
    /// --help shows the default: what the variable holds now, or `text`.
    Option show_default();
    Option show_default(std::string text);
    /// Numbers outside `least` to `most` are refused.
    Option range(std::int64_t least, std::int64_t most);
    /// Other words are refused.
    Option one_of(std::vector<std::string> words);
    /// Refuses a value with the text that `check` returns; empty means that all is well.
    Option check(std::function<std::string(const std::string&)> check);
    /// Replaces each value by what `change` makes of it; an error refuses it.
    Option transform(std::function<Result<std::string>(const std::string&)> change);
    /// Both cannot be given.
    Option excludes(Option other);
    /// Without the other one it is refused.
    Option needs(Option other);

   private:
    CLI::Option* option_;
  };

  /// What a file of parameters has to know of an option.
  struct Shape {
    std::vector<std::string> names;  ///< "--read-only", "-r"
    bool is_flag;
    bool takes_several;
  };

  /// `name` is what is typed, "uvdo serve"; its first word stands before messages.
  Arguments(std::string description, std::string name);
  ~Arguments();
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  /// `names` as "-v,--verbose", or a word without dashes for a positional argument. The value is
  /// stored in `value`, which has to outlive parse(): a text, a number, which may be optional, or a
  /// list of either.
  template <typename T>
  Option option(const std::string& names, T& value, const std::string& help = "");
  /// Given, it makes `value` true; "!--no-x" makes it false.
  Option flag(const std::string& names, bool& value, const std::string& help = "");
  /// Adds --version, which prints `text`.
  void version(const std::string& text, const std::string& names = "--version");

  /// Tells that the arguments are wrong; returns the exit status.
  using Complaint = std::function<int(std::string_view message)>;
  /// Parses and stores. The exit status if there is nothing left to do: help was asked for (0), or
  /// the arguments are wrong (that of `complain`, or 2 when the user has been told here).
  [[nodiscard]] std::optional<int> parse(int argc, char** argv, const Complaint& complain = {});

  /// "uvdo serve".
  [[nodiscard]] std::string name() const;
  /// Of the option called `name` ("--cache"); nothing if there is none.
  [[nodiscard]] std::optional<Shape> find(const std::string& name) const;
  /// Names with two dashes, in the order in which they were added.
  [[nodiscard]] std::vector<std::string> long_names() const;

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace uvdo
