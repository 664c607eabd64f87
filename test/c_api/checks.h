/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ISTHMUS_TEST_C_API_CHECKS_H
#define ISTHMUS_TEST_C_API_CHECKS_H

/* What the cases of c_api_probe have in common. A check that fails ends the process with its place and the last error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isthmus/isthmus.h"

#define CHECK(condition)                                                                                    \
  do {                                                                                                      \
    if (!(condition)) {                                                                                     \
      fprintf(stderr, "%s:%d: %s\nlast error: %s\n", __FILE__, __LINE__, #condition, isthmus_last_error()); \
      exit(1);                                                                                              \
    }                                                                                                       \
  } while (0)
#define OK(call) CHECK((call) == ISTHMUS_OK)
/* A failure of that kind, whose text says that. */
#define FAILS(call, code, words)                          \
  do {                                                    \
    CHECK((call) == (code));                              \
    CHECK(strstr(isthmus_last_error(), (words)) != NULL); \
  } while (0)
#define REFUSED(call) CHECK((call) == ISTHMUS_INVALID_ARGUMENT)

/* c_service_cases.c: services of one's own, without a daemon. */
void service(void);
void service_misused(void);
void service_in_child(void);
void upcalls(void);
void at_exit(void);

#endif
