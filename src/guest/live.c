/* Placeholder. */
#include "guest/guest_priv.h"
