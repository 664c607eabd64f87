// SPDX-License-Identifier: Apache-2.0
#pragma once

// The daemon's log: one line an event, on stderr, where systemd and terminals want it. Workers and libraries log
// nothing; they report.

#include <spdlog/spdlog.h>
