/* The worker: requests are parsed strictly, verbs do what they say, forbidden calls kill, and the program as a whole
 * answers over its socket. The whole program is run from the build tree (HOLM_WORKER_PATH). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "link/link.h"
#include "worker/worker.h"

/* ---- requests ---- */

struct request {
    const char *verb;
    const char *secret;
    const char *args[4];
    int64_t total; /* -1: absent */
};

static void write_fields(struct buf *b, const struct request *q)
{
    if (q->verb)
        field_str(b, FIELD_VERB, q->verb);
    for (size_t i = 0; i < ARRAY_SIZE(q->args) && q->args[i]; i++)
        field_str(b, FIELD_ARG, q->args[i]);
    if (q->secret)
        field_bytes(b, FIELD_SECRET, q->secret, strlen(q->secret));
    if (q->total >= 0)
        field_u64(b, FIELD_TOTAL_BYTES, (uint64_t)q->total);
}

static void test_table(void **state)
{
    unsigned n = 0;

    for (const struct work_verb *v = work_verbs; v->name; v++, n++) {
        assert_ptr_equal(work_verb_find(v->name), v);
        assert_true(v->run && v->calls && v->min_args <= v->max_args && v->max_args <= WORK_ARGS_MAX);
        assert_true(v->n_fds <= WORK_FDS_MAX && v->limits.memory_bytes && v->limits.cpu_s && strlen(v->name) < 32);
    }
    assert_int_equal(n, 8);
    assert_null(work_verb_find("nosuch"));
}

static int parse(const struct request *q, size_t n_fds, struct err *e)
{
    autobuf struct buf b;
    struct work_request parsed = {0};

    buf_init(&b, FRAME_PAYLOAD_MAX);
    write_fields(&b, q);
    int r = work_request_parse(b.data, b.len, n_fds, &parsed, e);
    if (r == 0)
        work_request_done(&parsed);
    return r;
}

static void test_parse_table(void **state)
{
    static char long_arg[WORK_ARG_BYTES_MAX + 2], long_secret[WORK_SECRET_MAX + 2];
    memset(long_arg, 'a', sizeof(long_arg) - 1);
    memset(long_secret, 's', sizeof(long_secret) - 1);
    const struct {
        struct request q;
        size_t n_fds;
        int expected;
    } rows[] = {
        {{"argon2id-hash", "pw", {0}, -1}, 0, 0},
        {{"argon2id-hash", "", {0}, -1}, 0, 0},
        {{"argon2id-hash", NULL, {0}, -1}, 0, -EPROTO},
        {{"argon2id-hash", "pw", {"x"}, -1}, 0, -EPROTO},
        {{"argon2id-hash", "pw", {0}, -1}, 1, -EPROTO},
        {{"argon2id-hash", "pw", {0}, 5}, 0, -EPROTO},
        {{"argon2id-hash", long_secret, {0}, -1}, 0, -EPROTO},
        {{"argon2id-verify", "pw", {0}, -1}, 0, -EPROTO},
        {{"argon2id-verify", "pw", {"$argon2id$"}, -1}, 0, 0},
        {{"make-cert", NULL, {long_arg}, -1}, 0, -EPROTO},
        {{"make-cert", NULL, {"a", "b"}, -1}, 0, 0},
        {{"make-cert", "pw", {"a", "b"}, -1}, 0, -EPROTO},
        {{"receive", NULL, {0}, 100}, 2, 0},
        {{"receive", NULL, {0}, 100}, 1, -EPROTO},
        {{"receive", NULL, {0}, 100}, 3, -EPROTO},
        {{"receive", NULL, {0}, -1}, 2, -EPROTO},
        {{"receive", NULL, {"sha1:0", "x"}, 100}, 2, -EPROTO},
        {{NULL, NULL, {0}, -1}, 0, -EPROTO},
        {{"rm -rf", NULL, {0}, -1}, 0, -ENOSYS},
        {{"", NULL, {0}, -1}, 0, -ENOSYS},
        {{"a-verb-name-that-is-longer-than-any-verb", NULL, {0}, -1}, 0, -EPROTO},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        int r = parse(&rows[i].q, rows[i].n_fds, &e);
        if (r != rows[i].expected)
            fail_msg("row %zu: %d %s", i, r, e.text);
    }
}

static void test_parse_malformed(void **state)
{
    struct work_request q;
    struct err e = ERR_INIT;

    assert_int_equal(work_request_parse(NULL, 0, 0, &q, &e), -EPROTO);
    for (int kind = 0; kind < 7; kind++) {
        autobuf struct buf b;
        buf_init(&b, FRAME_PAYLOAD_MAX);
        field_str(&b, FIELD_VERB, kind < 5 ? "receive" : "make-cert");
        if (kind == 0)
            field_str(&b, FIELD_VERB, "receive"); /* twice */
        if (kind == 1)
            field_bytes(&b, FIELD_ARG, "a\0b", 3);
        if (kind == 2)
            field_str(&b, FIELD_TOTAL_BYTES, "abc");
        if (kind == 3)
            field_u64(&b, FIELD_TOTAL_BYTES, UINT64_MAX);
        if (kind == 4)
            buf_append(&b, "x", 1); /* half a field */
        if (kind == 5)
            for (int i = 0; i < 70; i++)
                field_str(&b, FIELD_ARG, "name");
        if (kind == 6) {
            field_bytes(&b, FIELD_SECRET, "a", 1);
            field_bytes(&b, FIELD_SECRET, "b", 1);
        } else if (kind > 0 && kind != 2 && kind != 3) {
            field_u64(&b, FIELD_TOTAL_BYTES, 1);
        }
        assert_int_equal(work_request_parse(b.data, b.len, 2, &q, &e), -EPROTO);
    }
    /* an unknown field of a newer peer is skipped */
    autobuf struct buf b;
    buf_init(&b, FRAME_PAYLOAD_MAX);
    field_str(&b, FIELD_VERB, "make-cert");
    field_str(&b, FIELD_ARG, "node");
    field_str(&b, (enum field_tag)4711, "?");
    assert_int_equal(work_request_parse(b.data, b.len, 0, &q, &e), 0);
    assert_int_equal(q.n_args, 1);
    assert_string_equal(q.args[0], "node");
    work_request_done(&q);
}

/* ---- verbs, called directly ---- */

static int run_verb(const char *name, struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    *e = (struct err)ERR_INIT;
    q->verb = work_verb_find(name);
    int r = q->verb->prepare(q, e);
    return r < 0 ? r : q->verb->run(q, fds, answer, e);
}

static void get_str(const struct buf *b, enum field_tag tag, char *dst, size_t cap)
{
    struct field f;
    assert_true(field_find(b->data, b->len, tag, &f));
    assert_int_equal(field_get_str(&f, dst, cap), 0);
}

static void test_argon2id(void **state)
{
    autobuf struct buf answer;
    struct err e;
    char encoded[200];
    struct work_request q = {.secret = (uint8_t *)(uintptr_t) "correct horse", .secret_len = 13};

    buf_init(&answer, 4096);
    assert_int_equal(run_verb("argon2id-hash", &q, NULL, &answer, &e), 0);
    get_str(&answer, FIELD_SECRET, encoded, sizeof(encoded));
    assert_true(str_starts(encoded, "$argon2id$v=19$m=65536,t=2,p=1$"));
    q.args[0] = encoded;
    q.n_args = 1;
    assert_int_equal(run_verb("argon2id-verify", &q, NULL, &answer, &e), 0);
    q.secret_len = 12;
    assert_int_equal(run_verb("argon2id-verify", &q, NULL, &answer, &e), -EACCES);
    assert_string_equal(e.code, "auth.failed");
    q.secret_len = 13;
    encoded[strlen(encoded) - 3] ^= 1;
    assert_int_equal(run_verb("argon2id-verify", &q, NULL, &answer, &e), -EACCES);
    static const char *const wrong[] = {"", "$argon2i$v=19$m=65536,t=2,p=1$a$b", "plain", "$5$rounds"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        q.args[0] = wrong[i];
        assert_int_equal(run_verb("argon2id-verify", &q, NULL, &answer, &e), -EINVAL);
        assert_string_equal(e.code, "auth.hash");
    }
    q.args[0] = "$argon2id$v=19$m=99999999999,t=9,p=1$AAAA$AAAA";
    assert_int_equal(run_verb("argon2id-verify", &q, NULL, &answer, &e), -EACCES);
}

static void check_cert(const struct buf *answer)
{
    struct field_reader reader;
    struct field key, cert;

    field_reader_init(&reader, answer->data, answer->len);
    assert_int_equal(field_next(&reader, &key), 1);
    assert_int_equal(field_next(&reader, &cert), 1);
    assert_int_equal(key.tag, FIELD_BODY);
    assert_int_equal(cert.tag, FIELD_BODY);
    BIO *key_bio = BIO_new_mem_buf(key.data, (int)key.len), *cert_bio = BIO_new_mem_buf(cert.data, (int)cert.len);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    X509 *x = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
    assert_true(pkey && x);
    assert_int_equal(X509_check_private_key(x, pkey), 1);
    assert_int_equal(X509_verify(x, pkey), 1);
    assert_int_equal(X509_check_host(x, "node1.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "a.lab.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "other.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "10.0.0.1", 0), 0);
    assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
    assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_check_ca(x), 0);
    int days = 0, seconds = 0;
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)), 1);
    assert_int_equal(days, 825);
    assert_true(X509_cmp_current_time(X509_get0_notBefore(x)) < 0);
    assert_false(ASN1_STRING_length(X509_get0_serialNumber(x)) > 16);
    X509_free(x);
    EVP_PKEY_free(pkey);
    BIO_free(key_bio);
    BIO_free(cert_bio);
}

static const char *const cert_args[] = {"node1", "node1", "node1.example.org", "*.lab.example.org", "127.0.0.1", "::1"};

static void test_cert(void **state)
{
    autobuf struct buf answer;
    struct err e;
    struct work_request q = {.n_args = ARRAY_SIZE(cert_args)};

    buf_init(&answer, FRAME_PAYLOAD_MAX);
    memcpy(q.args, cert_args, sizeof(cert_args));
    assert_int_equal(run_verb("make-cert", &q, NULL, &answer, &e), 0);
    check_cert(&answer);
    static const char *const wrong[] = {
        "",     "a b",       "a,DNS:b",  "-a",   "a-",
        "a..b", "a.",        ".a",       "a\nb", "*",
        "a/b",  "1.2.3.4/8", "\xc3\xa9", "a.-b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        q.n_args = 2;
        q.args[0] = "node1";
        q.args[1] = wrong[i];
        if (run_verb("make-cert", &q, NULL, &answer, &e) != -EINVAL || !streq(e.code, "cert.name"))
            fail_msg("accepted '%s'", wrong[i]);
        q.args[0] = wrong[i];
        q.n_args = 1;
        assert_int_equal(run_verb("make-cert", &q, NULL, &answer, &e), -EINVAL);
    }
}

static int text_fd(const char *text, size_t n)
{
    int fd = memfd_create("pem", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, n, 0), n);
    return fd;
}

/* A key and a certificate of make-cert, as text: the two bodies of its answer. */
static void make_pair(struct buf *answer, struct field *key, struct field *cert)
{
    struct work_request q = {.n_args = ARRAY_SIZE(cert_args)};
    struct field_reader reader;
    struct err e;

    memcpy(q.args, cert_args, sizeof(cert_args));
    assert_int_equal(run_verb("make-cert", &q, NULL, answer, &e), 0);
    field_reader_init(&reader, answer->data, answer->len);
    assert_true(field_next(&reader, key) == 1 && field_next(&reader, cert) == 1);
}

static int check_pair(const struct field *cert, const struct field *key, size_t cert_len, struct buf *answer,
                      struct err *e)
{
    struct work_request q = {.n_args = 1, .args = {"x.pem"}};
    int fds[] = {text_fd((const char *)cert->data, cert_len), text_fd((const char *)key->data, key->len)};

    buf_reset(answer);
    int r = run_verb("cert-check", &q, fds, answer, e);
    close(fds[0]);
    close(fds[1]);
    return r;
}

static bool holds(const void *data, size_t n, const char *text)
{
    return memmem(data, n, text, strlen(text)) != NULL;
}

static void test_cert_check(void **state)
{
    autobuf struct buf pair, other, answer;
    struct field key, cert, other_key, other_cert, json;
    struct err e;

    buf_init(&pair, FRAME_PAYLOAD_MAX);
    buf_init(&other, FRAME_PAYLOAD_MAX);
    buf_init(&answer, FRAME_PAYLOAD_MAX);
    make_pair(&pair, &key, &cert);
    make_pair(&other, &other_key, &other_cert);
    assert_int_equal(check_pair(&cert, &key, cert.len, &answer, &e), 0);
    assert_true(field_find(answer.data, answer.len, FIELD_BODY, &json));
    assert_true(holds(json.data, json.len, "\"*.lab.example.org\",\"127.0.0.1\",\"::1\"]"));
    assert_true(holds(json.data, json.len, "\"filename\":\"x.pem\""));
    assert_false(holds(json.data, json.len, "PRIVATE"));
    assert_true(holds(answer.data, answer.len, "PRIVATE")); /* in the second body */
    assert_int_equal(check_pair(&cert, &other_key, cert.len, &answer, &e), -EINVAL);
    assert_string_equal(e.code, "cert.key");
    for (size_t n = 0; n < cert.len - 30; n += 7) { /* cut anywhere */
        assert_int_equal(check_pair(&cert, &key, n, &answer, &e), -EINVAL);
        assert_string_equal(e.code, "cert.chain");
        assert_int_equal(answer.len, 0);
    }
}

static const char abc_sha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/* Runs receive on a pipe holding text; the file's content comes back. */
static int receive(const char *text, const char *checksum, uint64_t limit, int out, struct buf *answer, struct err *e)
{
    struct work_request q = {.total_bytes = limit, .args = {checksum}, .n_args = checksum ? 1 : 0};
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
    close(p[1]);
    int r = run_verb("receive", &q, (int[]){p[0], out}, answer, e);
    close(p[0]);
    return r;
}

static void test_receive(void **state)
{
    autobuf struct buf answer;
    autoclose int fd = memfd_create("received", MFD_CLOEXEC), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct err e;
    char text[200], sum[200];
    struct field f;
    uint64_t n = 0;

    buf_init(&answer, 4096);
    assert_int_equal(receive("abc", NULL, 3, fd, &answer, &e), 0);
    get_str(&answer, FIELD_TEXT, text, sizeof(text));
    assert_string_equal(text, abc_sha256);
    assert_true(field_find(answer.data, answer.len, FIELD_DONE_BYTES, &f));
    assert_int_equal(field_get_u64(&f, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(pread(fd, text, 10, 0), 3);
    assert_memory_equal(text, "abc", 3);
    snprintf(sum, sizeof(sum), "sha256:%s", abc_sha256);
    assert_int_equal(receive("abc", sum, 3, fd, &answer, &e), 0);
    assert_int_equal(receive("abc", "md5:900150983CD24FB0D6963F7D28E17F72", 3, fd, &answer, &e), 0);
    assert_int_equal(receive("abd", sum, 3, fd, &answer, &e), -EBADMSG);
    assert_string_equal(e.code, "image.checksum");
    assert_int_equal(receive("abcd", NULL, 3, fd, &answer, &e), -EFBIG);
    assert_string_equal(e.code, "image.too-large");
    assert_int_equal(receive("", NULL, 0, fd, &answer, &e), 0);
    assert_int_equal(receive("abc", NULL, 3, full, &answer, &e), -ENOSPC);
    assert_int_equal(receive("abc", NULL, 3, -1, &answer, &e), -EBADF);
    static const char *const wrong[] = {"",
                                        "sha256",
                                        "sha256:",
                                        "sha256:00",
                                        "sha3:00",
                                        "sha:00",
                                        "SHA256:00",
                                        "md5:900150983cd24fb0d6963f7d28e17fzz",
                                        "md5:900150983cd24fb0d6963f7d28e17f722"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(receive("abc", wrong[i], 3, fd, &answer, &e), -EINVAL);
        assert_string_equal(e.code, "image.checksum");
    }
}

/* Appends text to a file of begin bytes; text and state of the digest come back. */
static int append(const char *text, uint64_t begin, uint64_t limit, int out, char state[256], char sum[65],
                  struct err *e)
{
    autobuf struct buf answer;
    char offset[24], all[400];
    struct work_request q = {.total_bytes = limit, .args = {offset, state}, .n_args = 2};
    int p[2];

    buf_init(&answer, 4096);
    snprintf(offset, sizeof(offset), "%llu", (unsigned long long)begin);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
    close(p[1]);
    int r = run_verb("append", &q, (int[]){p[0], out}, &answer, e);
    close(p[0]);
    if (r < 0)
        return r;
    get_str(&answer, FIELD_TEXT, all, sizeof(all));
    assert_int_equal(all[64], ' ');
    snprintf(sum, 65, "%.64s", all);
    snprintf(state, 256, "%s", all + 65);
    return 0;
}

/* Cut anywhere, also inside and at the ends of the digest's blocks, the pieces have the digest of the whole. */
static void test_append(void **state)
{
    static const char text[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789abcdefghijklmnop"
        "qrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_the rest of it";
    autobuf struct buf answer;
    autoclose int whole = memfd_create("whole", MFD_CLOEXEC), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    size_t n = strlen(text);
    char digest[256] = "", expected[65], sum[65], piece[sizeof(text)];
    struct err e;

    assert_int_equal(append(text, 0, n, whole, digest, expected, &e), 0);
    for (size_t cut = 0; cut <= n; cut++) {
        autoclose int fd = memfd_create("pieces", MFD_CLOEXEC);
        digest[0] = 0;
        snprintf(piece, sizeof(piece), "%.*s", (int)cut, text);
        assert_int_equal(append(piece, 0, n, fd, digest, sum, &e), 0);
        assert_int_equal(append(text + cut, cut, n, fd, digest, sum, &e), 0);
        assert_string_equal(sum, expected);
    }
    digest[0] = 0;
    assert_int_equal(append("abc", 0, 3, whole, digest, sum, &e), 0);
    assert_string_equal(sum, abc_sha256);
    assert_int_equal(append("d", 3, 3, whole, digest, sum, &e), -EFBIG);
    assert_string_equal(e.code, "upload.too-large");
    assert_int_equal(append("d", 4, 3, whole, digest, sum, &e), -EINVAL);
    assert_int_equal(append("d", 3, 4, full, digest, sum, &e), -ENOSPC);
    digest[5] = 'x';
    assert_int_equal(append("d", 3, 4, whole, digest, sum, &e), -EINVAL);
    digest[0] = 0;
    assert_int_equal(append("d", 3, 4, whole, digest, sum, &e), -EINVAL);
    buf_init(&answer, 4096);
    struct work_request q = {.total_bytes = n, .args = {expected}, .n_args = 1};
    char wanted[80];
    snprintf(wanted, sizeof(wanted), "sha256:%s", expected);
    q.args[0] = wanted;
    assert_int_equal(ftruncate(whole, (off_t)n), 0);
    assert_int_equal(lseek(whole, 0, SEEK_SET), 0);
    assert_int_equal(run_verb("verify", &q, (int[]){whole}, &answer, &e), 0);
    wanted[8] ^= 1;
    assert_int_equal(lseek(whole, 0, SEEK_SET), 0);
    assert_int_not_equal(run_verb("verify", &q, (int[]){whole}, &answer, &e), 0);
}

/* ---- the sandbox ---- */

static long forbidden_call(int i)
{
    switch (i) {
    case 0:
        return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
    case 1:
        return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    case 2:
        return syscall(SYS_execve, "/bin/true", NULL, NULL);
    case 3:
        return syscall(SYS_kill, 1, 0);
    case 4:
        return syscall(SYS_ptrace, 0, 0, 0, 0);
    case 5:
        return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    case 6:
        return syscall(SYS_dup, 0);
    case 7:
        return syscall(SYS_fcntl, 0, F_GETFL);
    case 8:
        return syscall(SYS_recvmsg, 0, NULL, 0);
    default:
        return syscall(SYS_unlinkat, AT_FDCWD, "/nosuch", 0);
    }
}

/* Wait status of a child that seals itself for the verb and makes the call (-1: none). */
static int sealed_child(const struct work_verb *v, int call)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        struct work_request q = {.verb = v, .total_bytes = 1};
        if (sandbox_early(&e) < 0 || sandbox_limits(&q, &e) < 0 || sandbox_seal(v, &e) < 0)
            _exit(2);
        if (call >= 0)
            forbidden_call(call);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_sandbox(void **state)
{
    for (const struct work_verb *v = work_verbs; v->name; v++) {
        int status = sealed_child(v, -1);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        for (int i = 0; i < 10; i++) {
            status = sealed_child(v, i);
            if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
                fail_msg("%s: call %d ended with status %x", v->name, i, (unsigned)status);
        }
    }
}

/* Where the kernel has Landlock, no path opens from the very beginning, before the verb is even known. */
static void test_no_path(void **state)
{
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* version */) < 0)
        skip();
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        if (sandbox_early(&e) < 0)
            _exit(2);
        _exit(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the program ---- */

static int ask(const struct request *q, const int *fds, size_t n_fds, struct buf *answer, struct err *e)
{
    autobuf struct buf frame;
    struct frame_header h;
    int sv[2], got[4], status = 0;
    size_t n_got = 0;

    *e = (struct err)ERR_INIT;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (sv[1] == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(sv[1], 3) < 0)
            _exit(126);
        /* Opened as who we are: the folders above may be closed to the other user. */
        int program = open(HOLM_WORKER_PATH, O_RDONLY | O_CLOEXEC);
        if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(125);
        fexecve(program, (char *const[]){"holm-worker", NULL}, environ);
        _exit(127);
    }
    close(sv[1]);
    buf_init(&frame, FRAME_PAYLOAD_MAX);
    size_t at = frame_begin(&frame, FRAME_WORK, 7, 0, (uint8_t)n_fds);
    write_fields(&frame, q);
    frame_end(&frame, at);
    assert_int_equal(link_write_frame(sv[0], &frame, fds ? fds : sv, n_fds, e), 0);
    int r = link_read_frame(sv[0], &h, answer, got, 4, &n_got, e);
    if (r == 0) {
        assert_int_equal(h.type, FRAME_WORK_RESULT);
        assert_int_equal(h.stream, 7);
        assert_int_equal(h.flags, FRAME_LAST);
        r = field_get_err(answer->data, answer->len, e);
    }
    close(sv[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: status %x (%s)", q->verb, (unsigned)status, e->text);
    return r;
}

static void test_program(void **state)
{
    autobuf struct buf answer;
    struct err e;
    char encoded[200], text[200];
    int p[2];
    autoclose int fd = memfd_create("received", MFD_CLOEXEC);

    buf_init(&answer, FRAME_PAYLOAD_MAX);
    assert_int_equal(ask(&(struct request){"argon2id-hash", "pw", {0}, -1}, NULL, 0, &answer, &e), 0);
    get_str(&answer, FIELD_SECRET, encoded, sizeof(encoded));
    assert_int_equal(ask(&(struct request){"argon2id-verify", "pw", {encoded}, -1}, NULL, 0, &answer, &e), 0);
    assert_int_equal(ask(&(struct request){"argon2id-verify", "px", {encoded}, -1}, NULL, 0, &answer, &e), -EACCES);
    assert_string_equal(e.code, "auth.failed");
    assert_int_equal(
        ask(&(struct request){"make-cert", NULL, {"node1", "node1.x.org", "127.0.0.1"}, -1}, NULL, 0, &answer, &e), 0);
    assert_int_equal(ask(&(struct request){"make-cert", NULL, {"no de"}, -1}, NULL, 0, &answer, &e), -EINVAL);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "abc", 3), 3);
    close(p[1]);
    assert_int_equal(ask(&(struct request){"receive", NULL, {0}, 1 << 20}, (int[]){p[0], fd}, 2, &answer, &e), 0);
    close(p[0]);
    get_str(&answer, FIELD_TEXT, text, sizeof(text));
    assert_string_equal(text, abc_sha256);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 3);
    /* OpenSSL's paths through the sealed program: a file that holds a certificate, one that does not, a pair. */
    autobuf struct buf pair;
    struct field key, cert;
    buf_init(&pair, FRAME_PAYLOAD_MAX);
    make_pair(&pair, &key, &cert);
    autoclose int cert_fd = text_fd((const char *)cert.data, cert.len),
                  key_fd = text_fd((const char *)key.data, key.len);
    struct request info = {"cert-info", NULL, {"x.pem"}, -1}, check = {"cert-check", NULL, {"x.pem"}, -1};
    assert_int_equal(ask(&info, (int[]){cert_fd}, 1, &answer, &e), 0);
    assert_int_equal(ask(&info, (int[]){key_fd}, 1, &answer, &e), -EINVAL);
    assert_int_equal(lseek(cert_fd, 0, SEEK_SET) + lseek(key_fd, 0, SEEK_SET), 0);
    assert_int_equal(ask(&check, (int[]){cert_fd, key_fd}, 2, &answer, &e), 0);
    assert_int_equal(ask(&(struct request){"nosuch", NULL, {0}, -1}, NULL, 0, &answer, &e), -ENOSYS);
    assert_string_equal(e.code, "work.verb");
}

/* Something big enough to need many reads, with a digest, to a real file as an unprivileged user. */
static void test_program_large(void **state)
{
    autobuf struct buf answer;
    char path[] = "/tmp/holm-worker-XXXXXX";
    autoclose int fd = mkostemp(path, O_CLOEXEC);
    struct stat st;
    struct err e;
    int p[2];

    unlink(path);
    buf_init(&answer, FRAME_PAYLOAD_MAX);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t writer = fork();
    if (writer == 0) {
        static char block[65536];
        close(p[0]);
        for (int i = 0; i < 512; i++)
            if (write(p[1], block, sizeof(block)) != sizeof(block))
                _exit(1);
        _exit(0);
    }
    close(p[1]);
    assert_int_equal(
        ask(&(struct request){"receive", NULL, {"sha1:57b587e1bf2d09335bdac6db18902d43dfe76449"}, 32 << 20},
            (int[]){p[0], fd}, 2, &answer, &e),
        0);
    close(p[0]);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 32 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),    cmocka_unit_test(test_parse_table), cmocka_unit_test(test_parse_malformed),
        cmocka_unit_test(test_argon2id), cmocka_unit_test(test_cert),        cmocka_unit_test(test_cert_check),
        cmocka_unit_test(test_receive),  cmocka_unit_test(test_append),      cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_no_path),  cmocka_unit_test(test_program),     cmocka_unit_test(test_program_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
