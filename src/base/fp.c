/* Fail points; see fp.h. */
#include "base/fp.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "base/util.h"

#define FP_MAX 32

enum fp_action { FP_KILL, FP_ERROR, FP_PAUSE };

struct fp_point {
    char name[64];
    enum fp_action action;
    unsigned nth; /* 0 = every hit */
    unsigned hits;
};

bool fp_is_armed;
static struct fp_point points[FP_MAX];
static size_t n_points;
static const char *log_path;
static pthread_mutex_t fp_lock = PTHREAD_MUTEX_INITIALIZER;

static void parse_one(char *item)
{
    char *eq = strchr(item, '=');
    struct fp_point *p = &points[n_points];

    if (!eq || n_points == FP_MAX)
        return;
    *eq++ = 0;
    char *at = strchr(eq, '@');
    if (at) {
        *at++ = 0;
        p->nth = (unsigned)strtoul(at, NULL, 10);
    }
    if (str_copy(p->name, sizeof(p->name), item) < 0)
        return;
    p->action = streq(eq, "kill") ? FP_KILL : streq(eq, "pause") ? FP_PAUSE : FP_ERROR;
    n_points++;
}

void fp_init(void)
{
    const char *list = getenv("HOLM_FP");

    log_path = getenv("HOLM_FP_LOG");
    if (list) {
        autofree char *copy = strdup(list);
        char *save = NULL;
        for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item; item = strtok_r(NULL, ",", &save))
            parse_one(item);
    }
    fp_is_armed = n_points > 0 || log_path;
}

static void note_hit(const char *name)
{
    char line[80];
    autoclose int fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    int n = snprintf(line, sizeof(line), "%s\n", name);

    if (fd >= 0 && n > 0 && write(fd, line, (size_t)n) < 0)
        return;
}

bool fp_hit(const char *name)
{
    bool is_error = false;

    pthread_mutex_lock(&fp_lock);
    if (log_path)
        note_hit(name);
    for (size_t i = 0; i < n_points; i++) {
        struct fp_point *p = &points[i];
        if (!streq(p->name, name))
            continue;
        p->hits++;
        if (p->nth && p->hits != p->nth)
            continue;
        if (p->action == FP_KILL)
            kill(getpid(), SIGKILL);
        else if (p->action == FP_PAUSE)
            kill(getpid(), SIGSTOP);
        else
            is_error = true;
    }
    pthread_mutex_unlock(&fp_lock);
    return is_error;
}
