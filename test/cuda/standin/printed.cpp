// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/printed.hpp"

#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

namespace isthmus::standin {
namespace {

struct Printed {
  std::mutex mutex;
  std::string text;
};

Printed& printed() {
  static Printed& all = *new Printed;
  return all;
}

}  // namespace

void keep_printed(std::string_view text) {
  Printed& all = printed();
  const std::scoped_lock lock(all.mutex);
  all.text += text;
}

void write_printed() {
  Printed& all = printed();
  const std::scoped_lock lock(all.mutex);
  if (!all.text.empty()) {
    std::fwrite(all.text.data(), 1, all.text.size(), stdout);
    all.text.clear();
  }
}

}  // namespace isthmus::standin
