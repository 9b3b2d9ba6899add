/* The files of a run folder that are the monitor's: `monitor`, which lets a new holmd find and check this process, and
 * `exit`, which tells one that was away how the guest ended. Text lines "name value" (doc/formats.md). */
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "guest/monitor/monitor.h"

int record_write_monitor(const struct monitor *m, struct err *e)
{
    uint64_t start_ticks;
    autobuf struct buf text;
    int r = proc_start_time(getpid(), &start_ticks);

    buf_init(&text, 1024);
    if (r < 0)
        return err_errno(e, -r, "read the own start time");
    buf_printf(&text, "version %u\npid %d\nstart %llu\ndriver %s\nvmid %u\ncookie ", MONITOR_RECORD_VERSION,
               (int)getpid(), (unsigned long long)start_ticks, m->order->driver, m->order->vmid);
    for (size_t i = 0; i < COOKIE_BYTES; i++)
        buf_printf(&text, "%02x", m->order->cookie[i]);
    buf_append_char(&text, '\n');
    r = text.is_failed ? err_set(e, -ENOMEM, NULL, "out of memory")
                       : fs_replace_durable(m->dir_fd, "monitor", text.data, text.len, 0600, e);
    mem_wipe(text.data, text.len);
    return r;
}

void record_write_exit(const struct monitor *m, const char *text)
{
    struct err e = ERR_INIT;
    autobuf struct buf out;
    bool is_signal = WIFSIGNALED(m->wait_status);

    buf_init(&out, 4096);
    buf_printf(&out, "version %u\nstatus %u\nsignal %d\nwall %lld\nboot_ms %llu\nwas_up %d\ntext %s\n",
               MONITOR_RECORD_VERSION, monitor_exit_status(m), is_signal ? WTERMSIG(m->wait_status) : 0,
               (long long)clock_wall_s(), (unsigned long long)clock_boot_ms(), m->is_up, text);
    /* A full disk must not keep the guest from ending: then the event is all there is. */
    if (fs_replace_durable(m->dir_fd, "exit", out.data, out.len, 0600, &e) < 0)
        return;
}
