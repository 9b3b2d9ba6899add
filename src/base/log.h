/* Log lines to standard error: "<3>name: text" priorities as systemd reads them when not a terminal. Below task
 * level only debug is used. Thread-safe (one write per line). */
#ifndef HOLM_BASE_LOG_H
#define HOLM_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

void log_init(const char *program, enum log_level max_level);
void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "context: text (code); hint". */
void log_err(enum log_level level, const struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_note(...)  log_at(LOG_NOTE, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
