/* Lines of a peer on the control connection of holm-vmm, against a machine of plain numbers with a few devices:
 * whatever comes, answers are JSON of the documented shape, bounded, and the machine is in a state that a verb can lead
 * to. */
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>

#include "device_end.h"
#include "vmm/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct machine {
    enum machine_state state;
    struct control *control;
};

/* One of each kind that verbs are for. */
static const char *const kinds[] = {"rng", "disk", "net", "balloon"};
static struct end ends[ARRAY_SIZE(kinds)];

static enum machine_state state_of(const struct machine *m)
{
    return m->state;
}
static void pause_it(struct machine *m)
{
    m->state = MACHINE_PAUSED;
    control_state_event(m->control, NULL);
}
static int resume_it(struct machine *m, struct err *e)
{
    if (m->state == MACHINE_ENDED)
        return err_set(e, -EINVAL, "machine.ended", "the machine has ended");
    m->state = MACHINE_RUNNING;
    control_state_event(m->control, "asked");
    return 0;
}
static int reset_it(struct machine *m, struct err *e)
{
    return err_set(e, -EIO, "kvm.run", "a reset that fails");
}
static void press_it(struct machine *m)
{
    control_event(m->control, "pressed");
}
static void end_it(struct machine *m)
{
    m->state = MACHINE_ENDED;
}
static uint64_t exits_of(const struct machine *m)
{
    return 1;
}
static struct virtio *device_of(const struct machine *m, unsigned index, const char **ret_id)
{
    static const char *const ids[] = {"rng0", "disk0", "net0", "balloon0"};

    if (index >= ARRAY_SIZE(ids))
        return NULL;
    *ret_id = ids[index];
    return ends[index].harness.device;
}

static const struct control_ops ops = {.state = state_of,
                                       .pause = pause_it,
                                       .resume = resume_it,
                                       .reset = reset_it,
                                       .power_button = press_it,
                                       .end = end_it,
                                       .exits = exits_of,
                                       .device = device_of};

/* Whole lines only: the connection may have ended in the middle of one. */
static void check_answers(int fd)
{
    static char text[CONTROL_OUT_MAX * 2];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    char *line = text;

    text[n > 0 ? n : 0] = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *j = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        const json_t *error = json_object_get(j, "error");
        bool is_answer = json_object_get(j, "id") != NULL;

        if (json_is_string(json_object_get(j, "event"))) {
            json_decref(j);
            continue;
        }
        if (!is_answer || !json_object_get(j, "ok") == !error ||
            (error && !json_is_string(json_object_get(error, "code"))))
            abort();
        json_decref(j);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct machine m = {.state = MACHINE_RUNNING};
    struct control *c;
    struct err e = ERR_INIT;
    int pair[2];

    for (size_t i = 0; i < ARRAY_SIZE(kinds) && !ends[i].kind; i++)
        end_init(&ends[i], kinds[i], 0);
    signal(SIGPIPE, SIG_IGN);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    if (control_new(&ends[0].harness.loop, pair[1], &ops, &m, &c, &e) < 0)
        abort();
    m.control = c;
    end_begin(&ends[1]);
    while (n) {
        ssize_t part = send(pair[0], data, n < 3000 ? n : 3000, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (part > 0) {
            data += part;
            n -= (size_t)part;
        }
        harness_turn(&ends[0].harness);
        check_answers(pair[0]);
        if (part <= 0)
            break;
    }
    close(pair[0]); /* it hears that the peer is gone, or is freed with what it had to say */
    if (m.state != MACHINE_PAUSED)
        harness_turn(&ends[0].harness);
    control_free(c);
    close(pair[1]);
    return 0;
}
