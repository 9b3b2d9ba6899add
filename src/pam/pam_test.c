/* holm-pam: requests are parsed strictly, the conversation answers what it may and nothing else, and the program
 * answers over its socket and takes its processes with it. What PAM itself says is tests/system/test_pam.py's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "link/link.h"
#include "pam/pam.h"

struct row {
    const char *verb, *args[3], *secret;
    int expected;
};

static char name_64[65], name_65[66], host_65[66], secret_511[512], secret_512[513];

static void write_fields(struct buf *b, const struct row *row)
{
    if (row->verb)
        field_str(b, FIELD_VERB, row->verb);
    for (size_t i = 0; i < ARRAY_SIZE(row->args) && row->args[i]; i++)
        field_str(b, FIELD_ARG, row->args[i]);
    if (row->secret)
        field_bytes(b, FIELD_SECRET, row->secret, strlen(row->secret));
}

static int parse(const struct row *row, struct pam_request *q, struct err *e)
{
    autobuf struct buf b;

    *e = (struct err)ERR_INIT;
    buf_init(&b, FRAME_PAYLOAD_MAX);
    write_fields(&b, row);
    return pam_request_parse(b.data, b.len, q, e);
}

static void test_verbs(void **state)
{
    unsigned n = 0;

    for (const struct pam_verb *v = pam_verbs; v->name; v++, n++) {
        assert_ptr_equal(pam_verb_find(v->name), v);
        assert_true(v->run && v->min_args <= v->max_args && v->max_args <= 2 && strlen(v->name) < 32);
    }
    assert_int_equal(n, 3);
    assert_null(pam_verb_find("nosuch"));
}

static void test_requests(void **state)
{
    memset(name_64, 'n', 64);
    memset(name_65, 'n', 65);
    memset(host_65, '1', 65);
    memset(secret_511, 's', 511);
    memset(secret_512, 's', 512);
    const struct row rows[] = {
        {"authenticate", {"root"}, "pw", 0},
        {"authenticate", {"root", "192.0.2.1"}, "pw", 0},
        {"authenticate", {"root", "2001:db8::1%eth0"}, "pw", 0},
        {"authenticate", {"root", "unknown"}, "pw", 0},
        {"authenticate", {"root", ""}, "", 0},
        {"authenticate", {name_64}, secret_511, 0},
        {"set-password", {"a.b-c_d9"}, "pw", 0},
        {"refuse", {0}, "pw", 0},
        {"authenticate", {0}, "pw", -EPROTO},
        {"authenticate", {"root"}, NULL, -EPROTO},
        {"authenticate", {"root", "a", "b"}, "pw", -EPROTO},
        {"authenticate", {"root", "$(id)"}, "pw", -EPROTO},
        {"authenticate", {"root", "a b"}, "pw", -EPROTO},
        {"authenticate", {"root", host_65}, "pw", -EPROTO},
        {"authenticate", {"root"}, secret_512, -EPROTO},
        {"authenticate", {name_65}, "pw", -EINVAL},
        {"authenticate", {""}, "pw", -EINVAL},
        {"authenticate", {"-root"}, "pw", -EINVAL},
        {"authenticate", {"."}, "pw", -EINVAL},
        {"authenticate", {".."}, "pw", -EINVAL},
        {"authenticate", {"../etc"}, "pw", -EINVAL},
        {"authenticate", {"a b"}, "pw", -EINVAL},
        {"authenticate", {"a\nb"}, "pw", -EINVAL},
        {"authenticate", {"a:b"}, "pw", -EINVAL},
        {"authenticate", {"dom\\user"}, "pw", -EINVAL},
        {"authenticate", {"user@dom"}, "pw", -EINVAL},
        {"authenticate", {"\xc3\xa9"}, "pw", -EINVAL},
        {"set-password", {"root", "192.0.2.1"}, "pw", -EPROTO},
        {"set-password", {0}, "pw", -EPROTO},
        {"refuse", {"root"}, "pw", -EPROTO},
        {"delete-user", {"root"}, "pw", -ENOSYS},
        {NULL, {"root"}, "pw", -EPROTO},
        {"a-verb-name-that-is-longer-than-any-verb", {"root"}, "pw", -EPROTO},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pam_request q;
        struct err e;
        int r = parse(&rows[i], &q, &e);
        if (r != rows[i].expected)
            fail_msg("row %zu: %d %s", i, r, e.text);
        if (r < 0 && strstr(e.text, "pw"))
            fail_msg("row %zu: the error tells the password", i);
        if (r == 0) {
            assert_string_equal(q.password, rows[i].secret);
            assert_string_equal(q.name, rows[i].args[0] ? rows[i].args[0] : "");
        }
    }
}

static void test_malformed(void **state)
{
    struct pam_request q;
    struct err e = ERR_INIT;

    assert_int_equal(pam_request_parse(NULL, 0, &q, &e), -EPROTO);
    for (int kind = 0; kind < 5; kind++) {
        autobuf struct buf b;
        buf_init(&b, FRAME_PAYLOAD_MAX);
        write_fields(&b, &(struct row){"authenticate", {"root"}, "pw", 0});
        if (kind == 0)
            field_str(&b, FIELD_VERB, "authenticate");
        if (kind == 1)
            field_str(&b, FIELD_SECRET, "again");
        if (kind == 2)
            buf_append(&b, "\0", 1);
        if (kind == 3)
            b.len--;
        if (kind == 4)
            field_bytes(&b, FIELD_ARG, "a\0b", 3);
        if (pam_request_parse(b.data, b.len, &q, &e) != -EPROTO)
            fail_msg("kind %d was accepted", kind);
    }
    autobuf struct buf nul;
    buf_init(&nul, FRAME_PAYLOAD_MAX);
    field_str(&nul, FIELD_VERB, "authenticate");
    field_bytes(&nul, FIELD_ARG, "root\0x", 6);
    field_str(&nul, FIELD_SECRET, "pw");
    assert_int_equal(pam_request_parse(nul.data, nul.len, &q, &e), -EINVAL);
}

/* ---- the conversation ---- */

static int say(struct pam_talk *t, int style, char **ret)
{
    const struct pam_message message = {.msg_style = style, .msg = "?"};
    const struct pam_message *messages[] = {&message};
    struct pam_response *answer = NULL;
    int r = pam_talk_answer(1, messages, &answer, t);

    if (r == PAM_SUCCESS) {
        *ret = answer->resp;
        free(answer);
    } else {
        assert_null(answer);
    }
    return r;
}

static void test_conversation(void **state)
{
    struct pam_talk t = {.password = "pw"};
    char *text = NULL;

    assert_int_equal(say(&t, PAM_TEXT_INFO, &text), PAM_SUCCESS);
    assert_null(text);
    assert_int_equal(say(&t, PAM_ERROR_MSG, &text), PAM_SUCCESS);
    assert_null(text);
    for (unsigned i = 0; i < PAM_ANSWERS_MAX; i++) {
        assert_int_equal(say(&t, PAM_PROMPT_ECHO_OFF, &text), PAM_SUCCESS);
        assert_string_equal(text, "pw");
        free(text);
    }
    assert_int_equal(say(&t, PAM_PROMPT_ECHO_OFF, &text), PAM_CONV_ERR);
    t.n_answers = 0;
    assert_int_equal(say(&t, PAM_PROMPT_ECHO_ON, &text), PAM_CONV_ERR);
    assert_int_equal(say(&t, 4711, &text), PAM_CONV_ERR);
    assert_int_equal(pam_talk_answer(0, NULL, NULL, &t), PAM_CONV_ERR);
    assert_int_equal(pam_talk_answer(-1, NULL, NULL, &t), PAM_CONV_ERR);
    assert_int_equal(pam_talk_answer(PAM_MAX_NUM_MSG + 1, NULL, NULL, &t), PAM_CONV_ERR);
}

/* A good question and a bad one together: nothing is answered, nothing leaks (the build's sanitizer looks). */
static void test_conversation_of_two(void **state)
{
    const struct pam_message good = {.msg_style = PAM_PROMPT_ECHO_OFF}, wrong = {.msg_style = PAM_PROMPT_ECHO_ON};
    const struct pam_message *messages[] = {&good, &wrong};
    struct pam_response *answers = NULL;
    struct pam_talk t = {.password = "pw"};

    assert_int_equal(pam_talk_answer(2, messages, &answers, &t), PAM_CONV_ERR);
    assert_null(answers);
}

/* ---- the program ---- */

static pid_t start(int *ret_fd)
{
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (sv[1] == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(sv[1], 3) < 0)
            _exit(126);
        execl(HOLM_PAM_PATH, "holm-pam", NULL);
        _exit(127);
    }
    close(sv[1]);
    *ret_fd = sv[0];
    return pid;
}

static int ask(const struct row *row, struct err *e)
{
    autobuf struct buf frame, answer;
    struct frame_header h;
    int fd, status = 0;
    size_t n_fds;
    pid_t pid = start(&fd);

    *e = (struct err)ERR_INIT;
    buf_init(&frame, FRAME_PAYLOAD_MAX);
    buf_init(&answer, FRAME_PAYLOAD_MAX);
    size_t at = frame_begin(&frame, FRAME_WORK, 7, 0, 0);
    write_fields(&frame, row);
    frame_end(&frame, at);
    assert_int_equal(link_write_frame(fd, &frame, NULL, 0, e), 0);
    assert_int_equal(link_read_frame(fd, &h, &answer, NULL, 0, &n_fds, e), 0);
    assert_int_equal(h.type, FRAME_WORK_RESULT);
    assert_int_equal(h.stream, 7);
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return field_get_err(answer.data, answer.len, e);
}

static void test_program(void **state)
{
    struct err e;

    if (getuid() != 0)
        skip();
    assert_int_equal(ask(&(struct row){"refuse", {0}, "pw", 0}, &e), -EACCES);
    assert_string_equal(e.code, "auth.failed");
    assert_int_equal(ask(&(struct row){"nosuch", {0}, "pw", 0}, &e), -ENOSYS);
    assert_int_equal(ask(&(struct row){"authenticate", {"-x"}, "pw", 0}, &e), -EINVAL);
}

static void wait_until_read(int fd)
{
    int left = 1;

    for (int i = 0; left > 0 && i < 5000; i++) {
        assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
        poll(NULL, 0, 1);
    }
    assert_int_equal(left, 0);
}

/* Killed while the innermost of its processes waits for the rest of a frame, it leaves nobody who holds the socket. */
static void test_program_dies_whole(void **state)
{
    char byte;
    int fd;

    if (getuid() != 0)
        skip();
    pid_t pid = start(&fd);
    assert_int_equal(write(fd, "\1", 1), 1);
    wait_until_read(fd);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(read(fd, &byte, 1), 0); /* an end comes only when the last of them is gone */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_conversation_of_two),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_program_dies_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
