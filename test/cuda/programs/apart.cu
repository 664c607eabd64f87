// SPDX-License-Identifier: Apache-2.0
// The other half of memory.cu's kernel: only -rdc=true lets one file call what is in another.
__device__ int shared_term = 7;

__device__ int squared(int value) { return value * value; }
