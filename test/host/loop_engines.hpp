// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "host/loop_engine.hpp"

namespace isthmus::host::test {

/// Names the instances of a test that runs with each engine.
[[nodiscard]] inline std::string engine_name(const testing::TestParamInfo<LoopEngine>& instance) {
  return instance.param == LoopEngine::io_uring ? "io_uring" : "epoll";
}

/// For INSTANTIATE_TEST_SUITE_P.
[[nodiscard]] inline auto both_engines() { return testing::Values(LoopEngine::io_uring, LoopEngine::epoll); }

}  // namespace isthmus::host::test
