/* The hypervisor's own words; see output.h. They are shown to people: control characters become blanks. */
#include "guest/monitor/output.h"

#include <ctype.h>

#define LAST_LINES 3

static const char cut_note[] = "\n(cut)\n";

void output_init(struct output *o, int file)
{
    o->total_bytes = 0;
    o->file = file;
    o->file_bytes = 0;
}

void output_done(struct output *o)
{
    if (o->file >= 0)
        close(o->file);
    o->file = -EBADF;
}

static void add_to_file(struct output *o, const char *p, size_t n)
{
    size_t room = OUTPUT_FILE_BYTES - o->file_bytes - (sizeof(cut_note) - 1);

    if (o->file < 0)
        return;
    size_t len = n < room ? n : room;
    bool is_ok = write(o->file, p, len) == (ssize_t)len;
    o->file_bytes += len;
    if (is_ok && len == n)
        return;
    /* Full, or the file system is: the ring goes on. */
    if (is_ok && write(o->file, cut_note, sizeof(cut_note) - 1) < 0)
        o->file_bytes = OUTPUT_FILE_BYTES;
    close(o->file);
    o->file = -EBADF;
}

void output_add(struct output *o, const char *p, size_t n)
{
    add_to_file(o, p, n);
    for (size_t i = 0; i < n; i++)
        o->ring[(o->total_bytes + i) % OUTPUT_RING_BYTES] = p[i];
    o->total_bytes += n;
}

/* "2026-11-21T05:36:59.269727Z qemu-system-x86_64: text" -> text */
static const char *skip_prefix(const char *line)
{
    static const char program[] = "qemu-system-x86_64: ";
    const char *p = line;

    if (strlen(p) > 28 && p[4] == '-' && p[10] == 'T' && p[26] == 'Z' && p[27] == ' ')
        p += 28;
    return str_starts(p, program) ? p + sizeof(program) - 1 : p;
}

/* The last bytes of the ring, at most cap - 1 of them. */
static size_t copy_tail(const struct output *o, char *ret, size_t cap)
{
    uint64_t have = o->total_bytes < OUTPUT_RING_BYTES ? o->total_bytes : OUTPUT_RING_BYTES;
    size_t n = have < cap - 1 ? (size_t)have : cap - 1;

    for (size_t i = 0; i < n; i++)
        ret[i] = o->ring[(o->total_bytes - n + i) % OUTPUT_RING_BYTES];
    ret[n] = 0;
    return n;
}

/* Puts one more line before those in text. False when it is empty or does not fit; a line that does not fit alone keeps
 * its end, where QEMU says why. */
static bool prepend_line(const char *line, char text[OUTPUT_TEXT_MAX + 1])
{
    char joined[OUTPUT_TEXT_MAX + 1];
    size_t len, used = strlen(text);

    line = skip_prefix(line);
    len = strlen(line);
    if (len == 0 || (used && used + len + 2 > OUTPUT_TEXT_MAX))
        return false;
    if (len > OUTPUT_TEXT_MAX)
        snprintf(joined, sizeof(joined), "...%s", line + len - (OUTPUT_TEXT_MAX - 3));
    else
        snprintf(joined, sizeof(joined), "%s%s%s", line, used ? "; " : "", text);
    memcpy(text, joined, sizeof(joined));
    return true;
}

void output_last_text(const struct output *o, char ret[OUTPUT_TEXT_MAX + 1])
{
    char tail[2048];
    size_t n = copy_tail(o, tail, sizeof(tail));

    memset(ret, 0, OUTPUT_TEXT_MAX + 1);
    for (int lines = 0; lines < LAST_LINES; lines++) {
        while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\r' || tail[n - 1] == 0))
            n--;
        tail[n] = 0;
        char *before = n ? memrchr(tail, '\n', n) : NULL;
        if (!n || !prepend_line(before ? before + 1 : tail, ret))
            break;
        n = before ? (size_t)(before - tail) : 0;
    }
    for (char *c = ret; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}
