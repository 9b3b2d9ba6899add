/* GET /cluster/jobs and /cluster/jobs/schedule-analyze. PVE: pve-manager, API2/Cluster/Jobs.pm. Loop thread. */
#include <time.h>

#include "api/common.h"
#include "base/calendar.h"
#include "base/clock.h"

int api_cluster_jobs_index(struct api_call *c, const struct api_cluster_jobs_index_args *a, struct err *e)
{
    static const char *const names[] = {"schedule-analyze", NULL};

    return api_reply_index(c, "subdir", names);
}

/* "Thu Jan  1 00:00:00 1970", as PVE writes it. */
static void write_one(struct jw *w, int64_t at)
{
    time_t t = (time_t)at;
    struct tm utc;
    char text[64];

    gmtime_r(&t, &utc);
    strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &utc);
    jw_object(w);
    jw_kv_int(w, "timestamp", at);
    jw_kv_str(w, "utc", text);
    jw_object_end(w);
}

int api_cluster_jobs_analyze(struct api_call *c, const struct api_cluster_jobs_analyze_args *a, struct err *e)
{
    int64_t at = a->has_starttime ? a->starttime : clock_wall_s();
    struct calendar event;

    if (calendar_parse(a->schedule, &event, e) < 0)
        return api_param_error(c, e, "schedule", "invalid format - unable to parse calendar event");
    if (at < 0 || at > INT64_C(1) << 40)
        return api_param_error(c, e, "starttime", "not a time that has a year");
    jw_array(&c->out);
    for (int64_t i = 0; i < a->iterations && calendar_next(&event, at, &at); i++)
        write_one(&c->out, at);
    jw_array_end(&c->out);
    return 0;
}
