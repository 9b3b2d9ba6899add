/* The hypervisor's own words; see output.h. They are shown to people: control characters become blanks. */
#include "guest/monitor/output.h"

#include <ctype.h>

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

void output_last_text(const struct output *o, char ret[OUTPUT_TEXT_MAX + 1])
{
    char tail[2048 + 1];
    uint64_t have = o->total_bytes < OUTPUT_RING_BYTES ? o->total_bytes : OUTPUT_RING_BYTES;
    size_t n = have < sizeof(tail) - 1 ? (size_t)have : sizeof(tail) - 1;
    size_t room = OUTPUT_TEXT_MAX;

    for (size_t i = 0; i < n; i++)
        tail[i] = o->ring[(o->total_bytes - n + i) % OUTPUT_RING_BYTES];
    tail[n] = 0;
    ret[0] = 0;
    /* From the last line to the front, while they fit. A line that does not keeps its end: that is where QEMU says why. */
    for (int lines = 0; n > 0 && lines < 3;) {
        while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\r' || tail[n - 1] == 0))
            tail[--n] = 0;
        size_t begin = n;
        while (begin > 0 && tail[begin - 1] != '\n')
            begin--;
        const char *line = skip_prefix(tail + begin);
        size_t len = strlen(line), used = strlen(ret);
        if (len == 0)
            break;
        if (lines > 0 && used + len + 2 > room)
            break;
        char joined[OUTPUT_TEXT_MAX + 1];
        if (len > room)
            snprintf(joined, sizeof(joined), "...%s", line + len - (room - 3));
        else
            snprintf(joined, sizeof(joined), "%s%s%s", line, used ? "; " : "", ret);
        memcpy(ret, joined, sizeof(joined));
        lines++;
        n = begin;
        tail[n] = 0;
    }
    for (char *c = ret; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}
