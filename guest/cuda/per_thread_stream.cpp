// SPDX-License-Identifier: Apache-2.0

// The functions of per_stream.cpp once more, for programs built with a default stream for each thread.

#define CUDA_API_PER_THREAD_DEFAULT_STREAM
#include "guest/cuda/per_stream.cpp"  // NOLINT(bugprone-suspicious-include): compiled twice on purpose
