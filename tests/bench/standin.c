/* Stands in for QEMU where hundreds of guests have to "run" and only what Holm does for them is measured: a process
 * that answers the control connection as a QEMU did a moment ago, and does nothing else. Started by holm-guest under
 * QEMU's path (tests/bench/running.py binds it there, in a namespace of the test); its answers lie beside this program:
 * PATH.version, what --version printed; PATH.NAME, the value that the command NAME was answered with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Compiled in: the environment of a hypervisor is empty. */
#ifndef ANSWERS
#error "ANSWERS is the prefix of the answers' paths"
#endif

static char answers[4][8192];
static const char *const names[] = {"version", "query-blockstats", "query-balloon", "greeting"};
enum { VERSION, BLOCKSTATS, BALLOON, GREETING };

static void load(int which)
{
    char path[4096];

    snprintf(path, sizeof(path), ANSWERS ".%s", names[which]);
    FILE *f = fopen(path, "r");
    if (!f || !fread(answers[which], 1, sizeof(answers[which]) - 1, f))
        exit(2);
    fclose(f);
}

static const char *answer_to(const char *line)
{
    if (strstr(line, "\"query-blockstats\""))
        return answers[BLOCKSTATS];
    if (strstr(line, "\"query-balloon\""))
        return answers[BALLOON];
    if (strstr(line, "\"query-status\""))
        return "\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}";
    return "\"return\": {}";
}

int main(int argc, char **argv)
{
    char line[65536];
    int fd = -1;

    for (int i = 0; i < 4; i++)
        load(i);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts(answers[VERSION]) < 0;
    for (int i = 1; i < argc && fd < 0; i++)
        sscanf(argv[i], "socket,id=qmp,fd=%d", &fd);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    if (!in || dprintf(fd, "%s\r\n", answers[GREETING]) < 0)
        return 2;
    while (fgets(line, sizeof(line), in)) {
        const char *id = strstr(line, "\"id\":");
        if (dprintf(fd, "{%s, \"id\": %d}\r\n", answer_to(line), id ? (int)strtol(id + 5, NULL, 10) : 0) < 0)
            return 1;
        if (strstr(line, "\"quit\""))
            return 0;
    }
    return 0;
}
