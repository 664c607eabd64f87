// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isthmus/isthmus.h"
#include "isthmus/service.hpp"
#include "src/transport/process_mark.hpp"

namespace isthmus::c {

/// Reads and checks a caller's isthmus_service.
[[nodiscard]] isthmus_result read_service(const isthmus_service* given, isthmus_service& known);

/// A service in C, as the transport sees it.
class CService final : public Service {
 public:
  /// To be made in the process that serves. \pre read_service() was content with it
  explicit CService(const isthmus_service& functions) : functions_(functions), process_(ProcessMark::current()) {}

  void handle(Request& request) override;

 private:
  isthmus_service functions_;
  ProcessMark process_;
};

}  // namespace isthmus::c
