/* The steps of plans that copy, merge and rename images, for the table of steps.c. */
#ifndef HOLM_GUEST_BLOCK_STEPS_H
#define HOLM_GUEST_BLOCK_STEPS_H

#include "guest/guest.h"

extern const struct task_step_type step_volume_copy, step_volume_merge, step_volume_rename, step_volume_replace;

#endif
