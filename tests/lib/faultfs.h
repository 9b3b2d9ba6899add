/* For tests that link faultfs instead of preloading it; what a spec is: faultfs.c. */
#ifndef HOLM_TESTS_FAULTFS_H
#define HOLM_TESTS_FAULTFS_H

/* Replaces all rules and sets the counts to zero; NULL disarms. 0 or -EINVAL. */
int faultfs_arm(const char *spec);
/* Calls that matched the first rule. */
unsigned long faultfs_count(void);

#endif
