// SPDX-License-Identifier: Apache-2.0
// Names and parameters out of PTX: .entry, .param, and .global or .const variables of the module's scope.
#include <cuda.h>

#include <cctype>
#include <map>
#include <string>
#include <string_view>

#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/image.hpp"

namespace isthmus::standin {
namespace {

/// Words, and single signs, one after the other; comments are skipped.
class PtxWords {
 public:
  explicit PtxWords(std::string_view text) : text_(text) {}

  /// Empty at the end.
  std::string_view next() {
    skip();
    const std::size_t start = at_;
    while (at_ < text_.size() && is_word(text_[at_])) {
      ++at_;
    }
    if (at_ == start && at_ < text_.size()) {
      ++at_;
    }
    return text_.substr(start, at_ - start);
  }

 private:
  static bool is_word(char sign) {
    return std::isalnum(static_cast<unsigned char>(sign)) != 0 || sign == '_' || sign == '$' || sign == '.' ||
           sign == '%';
  }
  void skip() {
    while (at_ < text_.size()) {
      if (text_.substr(at_, 2) == "//") {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_, 2) == "/*") {
        at_ = std::min(text_.find("*/", at_), text_.size() - 2) + 2;
      } else if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        ++at_;
      } else {
        return;
      }
    }
  }
  std::string_view text_;
  std::size_t at_ = 0;
};

std::size_t size_of_type(std::string_view type) {
  static const std::map<std::string_view, std::size_t> sizes{
      {".b8", 1},  {".u8", 1},  {".s8", 1},  {".b16", 2}, {".u16", 2}, {".s16", 2}, {".f16", 2}, {".b32", 4},
      {".u32", 4}, {".s32", 4}, {".f32", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}, {".f64", 8}};
  const auto found = sizes.find(type);
  return found == sizes.end() ? 0 : found->second;
}

std::size_t number(std::string_view word) {
  std::size_t value = 0;
  for (const char digit : word) {
    require(digit >= '0' && digit <= '9' && value < (std::size_t{1} << 40U), CUDA_ERROR_INVALID_PTX, "a number");
    value = value * 10 + static_cast<std::size_t>(digit - '0');
  }
  return value;
}

struct Declared {
  std::string name;
  std::size_t size = 0;
  std::size_t alignment = 1;
  bool managed = false;
  std::string_view end;  // the sign after it
};

// What follows .param, .global or .const, up to one of ",);={"
Declared read_declared(PtxWords& words) {
  Declared found;
  std::size_t element = 0;
  std::size_t count = 1;
  for (auto word = words.next(); !word.empty(); word = words.next()) {
    if (word == ".align") {
      found.alignment = number(words.next());
    } else if (word == ".attribute") {
      words.next();
      found.managed = words.next() == ".managed";
      words.next();
    } else if (word == "[") {
      count *= number(words.next());
      words.next();
    } else if (word == "," || word == ")" || word == ";" || word == "=") {
      found.end = word;
      break;
    } else if (const std::size_t size = size_of_type(word); size > 0) {
      element = size;
    } else if (word.front() != '.') {
      found.name = word;
    }
  }
  require(element > 0 && !found.name.empty(), CUDA_ERROR_INVALID_PTX, "a declaration");
  found.size = element * count;
  found.alignment = std::max(found.alignment, element);
  return found;
}

Layout read_parameters(PtxWords& words) {
  Layout layout;
  std::size_t end = 0;
  for (auto word = words.next(); !word.empty() && word != ")"; word = words.next()) {
    if (word != ".param") {
      continue;
    }
    const Declared parameter = read_declared(words);
    const std::size_t offset = (end + parameter.alignment - 1) / parameter.alignment * parameter.alignment;
    layout.push_back({.offset = offset, .size = parameter.size});
    end = offset + parameter.size;
    if (parameter.end == ")") {
      break;
    }
  }
  return layout;
}

void skip_block(PtxWords& words) {
  std::size_t depth = 1;
  for (auto word = words.next(); !word.empty() && depth > 0; word = words.next()) {
    depth += word == "{" ? 1 : 0;
    depth -= word == "}" ? 1 : 0;
    if (depth == 0) {
      return;
    }
  }
}

}  // namespace

Image read_ptx(const std::string& text) {
  Image image;
  PtxWords words(text);
  for (auto word = words.next(); !word.empty(); word = words.next()) {
    if (word == ".entry") {
      const std::string name(words.next());
      auto after = words.next();
      image.kernels[name].parameters = after == "(" ? read_parameters(words) : Layout{};
    } else if (word == ".global" || word == ".const") {
      const Declared variable = read_declared(words);
      require(variable.end != "=", CUDA_ERROR_NOT_SUPPORTED, "the stand-in reads no initial values out of PTX");
      image.variables[variable.name] = {.size = variable.size, .managed = variable.managed, .value = {}};
    } else if (word == "{") {
      skip_block(words);
    }
  }
  return image;
}

}  // namespace isthmus::standin
