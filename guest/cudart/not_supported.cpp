// SPDX-License-Identifier: Apache-2.0

// The exported names that are not implemented (not_supported.txt, of which the build makes the list included below):
// all are one function. It takes no notice of its arguments, which the calling convention of x86-64 and AArch64 allows,
// and this file does not see the header that declares them.

extern "C" {

int isthmus_cudart_not_supported();

#define ISTHMUS_NOT_SUPPORTED(name) \
  __attribute__((visibility("default"), alias("isthmus_cudart_answers_not_supported"))) int name();

int isthmus_cudart_answers_not_supported() { return isthmus_cudart_not_supported(); }

#include "not_supported.inc"

}  // extern "C"
