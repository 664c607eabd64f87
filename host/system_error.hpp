// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>

#include "isthmus/error.hpp"

namespace isthmus::host {

/// The Errc that fits an errno value; Errc::system where none says more. Any thread.
[[nodiscard]] Errc errc_from_errno(int error_number) noexcept;

/// Makes the failure branch of a Result: "WHAT: the system's text". Any thread.
[[nodiscard]] std::unexpected<Error> fail_errno(int error_number, std::string what);

}  // namespace isthmus::host
