/* SPDX-License-Identifier: MIT */
#ifndef QS_VIOLATIONS_H
#define QS_VIOLATIONS_H

#include <stdint.h>

#include "test/sim/plan.h"

enum { QS_VIOLATIONS = 51 };

/* Makes one side of `plan` break rule `number`, from 1 to QS_VIOLATIONS. */
void qs_violation_fill(struct qs_plan *plan, uint32_t number);

#endif
