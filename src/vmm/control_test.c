/* Unit tests of control.c over a socket pair: verbs on a machine made of plain numbers, a disk of the harness for the
 * verbs about devices, and peers that break the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vmm/control.h"
#include "vmm/harness.h"

struct machine {
    enum machine_state state;
    unsigned n_resets, n_buttons;
    bool is_broken;
    struct virtio *device;
};

struct fixture {
    struct harness harness;
    struct machine machine;
    struct control *control;
    int disk_fd, peer, ours;
    char text[CONTROL_OUT_MAX + 4096];
    size_t n;
};

static enum machine_state state_of(const struct machine *m)
{
    return m->state;
}
static void pause_it(struct machine *m)
{
    m->state = MACHINE_PAUSED;
}
static int resume_it(struct machine *m, struct err *e)
{
    m->state = MACHINE_RUNNING;
    return 0;
}
static int reset_it(struct machine *m, struct err *e)
{
    if (m->is_broken) {
        err_set(e, -EIO, "kvm.run", "it \"broke\"");
        return err_hint(e, "mend it");
    }
    m->n_resets++;
    return 0;
}
static void press_it(struct machine *m)
{
    m->n_buttons++;
}
static void end_it(struct machine *m)
{
    m->state = MACHINE_ENDED;
}
static uint64_t exits_of(const struct machine *m)
{
    return UINT64_MAX;
}
static struct virtio *device_of(const struct machine *m, unsigned index, const char **ret_id)
{
    *ret_id = "virtio0";
    return index == 0 ? m->device : NULL;
}

static const struct control_ops ops = {.state = state_of,
                                       .pause = pause_it,
                                       .resume = resume_it,
                                       .reset = reset_it,
                                       .power_button = press_it,
                                       .end = end_it,
                                       .exits = exits_of,
                                       .device = device_of};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct err e = ERR_INIT;
    int pair[2];
    char text[64];

    assert_non_null(f);
    f->disk_fd = memfd_create("disk", MFD_CLOEXEC);
    assert_int_equal(ftruncate(f->disk_fd, 1 << 20), 0);
    snprintf(text, sizeof(text), "fd=%d,serial=abc,id=virtio0", dup(f->disk_fd));
    assert_int_equal(harness_init(&f->harness, "disk", text, &e), 0);
    f->machine = (struct machine){.state = MACHINE_RUNNING, .device = f->harness.device};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->peer = pair[0];
    f->ours = pair[1];
    assert_int_equal(control_new(&f->harness.loop, f->ours, &ops, &f->machine, &f->control, &e), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    control_free(f->control);
    harness_done(&f->harness);
    close(f->disk_fd);
    close(f->ours);
    if (f->peer >= 0)
        close(f->peer);
    free(f);
    return 0;
}

/* Everything that has come, as text. */
static const char *receive(struct fixture *f)
{
    ssize_t n;

    for (f->n = 0; f->n < sizeof(f->text) - 1; f->n += (size_t)n) {
        harness_turn(&f->harness);
        n = recv(f->peer, f->text + f->n, sizeof(f->text) - 1 - f->n, MSG_DONTWAIT);
        if (n <= 0)
            break;
    }
    f->text[f->n] = 0;
    return f->text;
}

static void say(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(struct fixture *f, const char *request, const char *wanted)
{
    say(f, request);
    assert_string_equal(receive(f), wanted);
}

/* Reads to the end of what was sent, and of the connection. */
static bool is_hung_up(struct fixture *f)
{
    ssize_t n;

    do
        n = recv(f->peer, f->text, sizeof(f->text), MSG_DONTWAIT);
    while (n > 0);
    return n == 0 || errno == ECONNRESET;
}

static void test_verbs(void **state)
{
    struct fixture *f = *state;

    expect(f, "{\"id\":7,\"verb\":\"version\"}\n",
           "{\"id\":7,\"ok\":{\"version\":\"" HOLM_VERSION "\",\"protocol\":1}}\n");
    expect(f, "{\"id\":0,\"verb\":\"pause\"}\n", "{\"id\":0,\"ok\":{}}\n");
    assert_int_equal(f->machine.state, MACHINE_PAUSED);
    expect(f, "{\"verb\":\"status\",\"id\":9007199254740993}\n",
           "{\"id\":9007199254740993,\"ok\":{\"state\":\"paused\",\"devices\":[{\"id\":\"virtio0\",\"kind\":\"disk\","
           "\"slot\":1,\"state\":\"idle\"}]}}\n");
    expect(f, "{\"id\":1,\"verb\":\"resume\"}\n", "{\"id\":1,\"ok\":{}}\n");
    assert_int_equal(f->machine.state, MACHINE_RUNNING);
    expect(f, "{\"id\":1,\"verb\":\"power-button\"}\n{\"id\":2,\"verb\":\"reset\"}\n",
           "{\"id\":1,\"ok\":{}}\n{\"id\":2,\"ok\":{}}\n");
    assert_int_equal(f->machine.n_buttons, 1);
    assert_int_equal(f->machine.n_resets, 1);
    f->machine.is_broken = true;
    expect(f, "{\"id\":3,\"verb\":\"reset\"}\n",
           "{\"id\":3,\"error\":{\"code\":\"kvm.run\",\"text\":\"it \\\"broke\\\"\",\"hint\":\"mend it\"}}\n");
    expect(f, "{\"id\":4,\"verb\":\"end\"}\n", "{\"id\":4,\"ok\":{}}\n");
    assert_int_equal(f->machine.state, MACHINE_ENDED);
    say(f, "{\"id\":5,\"verb\":\"pause\"}\n");
    assert_non_null(strstr(receive(f), "machine.ended"));
}

/* In pieces, as a stream brings it. */
static void test_pieces(void **state)
{
    struct fixture *f = *state;
    const char text[] = "{\"id\":7,\"verb\":\"power-button\"}\n";

    for (size_t i = 0; text[i]; i++) {
        assert_string_equal(receive(f), "");
        assert_int_equal(send(f->peer, text + i, 1, 0), 1);
    }
    assert_string_equal(receive(f), "{\"id\":7,\"ok\":{}}\n");
    assert_int_equal(f->machine.n_buttons, 1);
}

static void test_events(void **state)
{
    struct fixture *f = *state;

    control_event(f->control, "panic");
    control_state_event(f->control, NULL);
    f->machine.state = MACHINE_ENDED;
    control_state_event(f->control, "power-off");
    control_event(NULL, "panic");
    control_state_event(NULL, NULL);
    assert_string_equal(receive(f), "{\"event\":\"panic\"}\n{\"event\":\"state\",\"state\":\"running\"}\n"
                                    "{\"event\":\"state\",\"state\":\"ended\",\"reason\":\"power-off\"}\n");
}

/* Each is answered with an error of this code, and the next request is understood. */
static void test_refusals(void **state)
{
    static const struct {
        const char *request, *id, *code;
    } rows[] = {
        {"{\"id\":1,\"verb\":\"explode\"}", "1", "control.verb"},
        {"{\"id\":1,\"verb\":\"Pause\"}", "1", "control.verb"},
        {"{\"id\":1,\"verb\":7}", "1", "control.malformed"},
        {"{\"id\":1}", "1", "control.malformed"},
        {"{\"verb\":\"pause\"}", "null", "control.malformed"},
        {"{\"id\":-1,\"verb\":\"pause\"}", "null", "control.malformed"},
        {"{\"id\":1.5,\"verb\":\"pause\"}", "null", "control.malformed"},
        {"{\"id\":\"1\",\"verb\":\"pause\"}", "null", "control.malformed"},
        {"{\"id\":1,\"id\":1,\"verb\":\"pause\"}", "null", "control.malformed"},
        {"{\"id\":1,\"verb\":\"pause\"} x", "null", "control.malformed"},
        {"[1]", "null", "control.malformed"},
        {"", "null", "control.malformed"},
        {"\x80", "null", "control.malformed"},
        {"{\"id\":1,\"verb\":[[[[[[1]]]]]]}", "null", "control.malformed"},
        {"{\"id\":1,\"verb\":\"pause\",\"now\":true}", "1", "control.argument"},
        {"{\"id\":1,\"verb\":\"disk-resize\",\"device\":\"virtio0\"}", "1", "control.argument"},
        {"{\"id\":1,\"verb\":\"disk-limit\",\"device\":\"virtio0\",\"limits\":\"iops=x\"}", "1", "param.format"},
        {"{\"id\":1,\"verb\":\"disk-limit\",\"device\":\"virtio0\",\"limits\":\"=\"}", "1", "param.format"},
        {"{\"id\":1,\"verb\":\"disk-limit\",\"device\":\"virtio0\",\"limits\":\"iops_max=1\"}", "1", "option.value"},
        {"{\"id\":1,\"verb\":\"disk-limit\",\"device\":\"virtio0\",\"limits\":\"raw=/x\"}", "1", "option.value"},
        {"{\"id\":1,\"verb\":\"disk-resize\",\"device\":\"virtio0\",\"bytes\":-1}", "1", "control.argument"},
        {"{\"id\":1,\"verb\":\"disk-resize\",\"device\":\"virtio9\",\"bytes\":1}", "1", "control.device"},
        {"{\"id\":1,\"verb\":\"disk-resize\",\"device\":\"virtio0\",\"bytes\":4096}", "1", "disk.size"},
        {"{\"id\":1,\"verb\":\"net-link\",\"device\":\"virtio0\",\"up\":1}", "1", "control.argument"},
        {"{\"id\":1,\"verb\":\"net-link\",\"device\":\"virtio0\",\"up\":false}", "1", "control.unsupported"},
        {"{\"id\":1,\"verb\":\"balloon\",\"bytes\":1048576}", "1", "control.device"},
        {"{\"id\":1,\"verb\":\"balloon-stats\"}", "1", "control.device"},
    };
    struct fixture *f = *state;
    char wanted[128];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        say(f, rows[i].request);
        say(f, "\n");
        snprintf(wanted, sizeof(wanted), "{\"id\":%s,\"error\":{\"code\":\"%s\",", rows[i].id, rows[i].code);
        if (!str_starts(receive(f), wanted))
            fail_msg("%s: %s", rows[i].request, f->text);
    }
    assert_int_equal(f->machine.state, MACHINE_RUNNING);
    expect(f, "{\"id\":2,\"verb\":\"pause\"}\n", "{\"id\":2,\"ok\":{}}\n");
}

static void test_stats_and_resize(void **state)
{
    struct fixture *f = *state;
    off_t now;

    say(f, "{\"id\":1,\"verb\":\"stats\"}\n");
    assert_string_equal(receive(f),
                        "{\"id\":1,\"ok\":{\"exits\":18446744073709551615,\"devices\":[{\"id\":\"virtio0\",\"kind\":"
                        "\"disk\",\"counters\":{\"reads\":0,\"writes\":0,\"flushes\":0,\"discards\":0,\"errors\":0,"
                        "\"read-bytes\":0,\"write-bytes\":0}}]}}\n");
    assert_int_equal(harness_read(&f->harness, 0x2000, 4), 2048);
    expect(f, "{\"id\":2,\"verb\":\"disk-resize\",\"device\":\"virtio0\",\"bytes\":2097152}\n",
           "{\"id\":2,\"ok\":{}}\n");
    now = lseek(f->disk_fd, 0, SEEK_END);
    assert_int_equal(now, 2 << 20);
    assert_int_equal(harness_read(&f->harness, 0x2000, 4), 4096);
    expect(f, "{\"id\":5,\"verb\":\"disk-limit\",\"device\":\"virtio0\",\"limits\":\"iops=5,iops_max=9\"}\n",
           "{\"id\":5,\"ok\":{}}\n");
    expect(f, "{\"id\":6,\"verb\":\"disk-limit\",\"device\":\"virtio0\",\"limits\":\"\"}\n", "{\"id\":6,\"ok\":{}}\n");
    /* Again, and what grew by another hand. */
    expect(f, "{\"id\":3,\"verb\":\"disk-resize\",\"device\":\"virtio0\",\"bytes\":2097152}\n",
           "{\"id\":3,\"ok\":{}}\n");
    assert_int_equal(ftruncate(f->disk_fd, 3 << 20), 0);
    expect(f, "{\"id\":4,\"verb\":\"disk-resize\",\"device\":\"virtio0\",\"bytes\":3145728}\n",
           "{\"id\":4,\"ok\":{}}\n");
    assert_int_equal(harness_read(&f->harness, 0x2000, 4), 6144);
}

/* A line of 4096 bytes with its end is understood, one byte more ends the connection and nothing else. */
static void test_long_line(void **state)
{
    struct fixture *f = *state;
    char line[CONTROL_LINE_MAX + 2];

    memset(line, ' ', sizeof(line));
    memcpy(line, "{\"id\":1,\"verb\":\"pause\"}", 23);
    line[CONTROL_LINE_MAX - 1] = '\n';
    line[CONTROL_LINE_MAX] = 0;
    expect(f, line, "{\"id\":1,\"ok\":{}}\n");
    line[CONTROL_LINE_MAX - 1] = ' ';
    line[CONTROL_LINE_MAX] = '\n';
    line[CONTROL_LINE_MAX + 1] = 0;
    say(f, line);
    assert_string_equal(receive(f), "");
    assert_true(is_hung_up(f));
    control_event(f->control, "panic"); /* to nobody */
}

/* Requests without end and no reading: what waits stays bounded, then the connection is given up. */
static void test_peer_that_does_not_read(void **state)
{
    struct fixture *f = *state;
    const char request[] = "{\"id\":1,\"verb\":\"stats\"}\n";
    size_t sent = 0;

    for (int i = 0; i < 100000; i++) {
        ssize_t n = send(f->peer, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
            break;
        assert_true(n > 0);
        sent += (size_t)n;
        harness_turn(&f->harness);
    }
    assert_true(sent < 10u << 20); /* we stopped reading, so the peer could not go on */
    for (int i = 0; i < 5000; i++)
        control_event(f->control, "reset");
    assert_true(is_hung_up(f));
    assert_int_equal(f->machine.state, MACHINE_RUNNING);
}

/* A peer that floods and then reads gets an answer to each. */
static void test_flood_is_answered(void **state)
{
    struct fixture *f = *state;
    const char request[] = "{\"id\":1,\"verb\":\"pause\"}\n", reply[] = "{\"id\":1,\"ok\":{}}\n";
    size_t sent = 0, got = 0, total = 20000 * (sizeof(request) - 1);

    while (got < 20000 * (sizeof(reply) - 1)) {
        size_t left = (total - sent) < 4096 ? total - sent : 4096;
        char piece[4096];

        for (size_t i = 0; i < left; i++)
            piece[i] = request[(sent + i) % (sizeof(request) - 1)];
        ssize_t n = left ? send(f->peer, piece, left, MSG_DONTWAIT) : 0;
        sent += n > 0 ? (size_t)n : 0;
        if (n <= 0 || sent % 3 == 0) {
            receive(f);
            got += f->n;
        } else {
            harness_turn(&f->harness);
        }
    }
    assert_int_equal(sent, total);
}

static void test_peer_goes(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"id\":1,\"verb\":\"power-button\"}\n{\"id\":2");
    close(f->peer);
    f->peer = -1;
    for (int i = 0; i < 4; i++)
        harness_turn(&f->harness);
    assert_int_equal(f->machine.n_buttons, 1);
    control_event(f->control, "reset");
    assert_int_equal(f->machine.state, MACHINE_RUNNING);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verbs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stats_and_resize, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_goes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
