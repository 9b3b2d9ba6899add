/* Lines of the list of templates; see template_list.h. Pure, bounded, any thread; called by templates.c. A line that is
 * wrong is left out: the list is people's, and one of them should not take away the others. */
#include "api/template_list.h"

#include "storage/storage.h"

static char *next_word(char **line)
{
    char *word = *line + strspn(*line, " \t"), *end = word + strcspn(word, " \t");

    *line = *end ? end + 1 : end;
    *end = 0;
    return *word ? word : NULL;
}

static bool is_template(const char *name)
{
    struct volume_id v;
    struct err ignored = ERR_INIT;
    char id[VOLUME_ID_MAX + 64];

    return strlen(name) <= VOLUME_NAME_MAX && snprintf(id, sizeof(id), "any:vztmpl/%s", name) > 0 &&
           volume_id_parse(id, &v, &ignored) == 0;
}

static void parse_line(struct template_list *l, char *line)
{
    struct template_row row = {.name = next_word(&line), .url = next_word(&line), .checksum = next_word(&line)};

    if (!row.checksum || row.name[0] == '#' || !is_template(row.name) ||
        (!str_starts(row.url, "https://") && !str_starts(row.url, "http://")))
        return;
    row.headline = line + strspn(line, " \t");
    if (streq(row.checksum, "-"))
        row.checksum = NULL;
    else if (!strchr(row.checksum, ':'))
        return;
    l->rows[l->n++] = row;
}

void template_list_parse(char *text, struct template_list *ret)
{
    char *save = NULL;

    ret->n = 0;
    if (!text)
        return;
    for (char *line = strtok_r(text, "\r\n", &save); line && ret->n < TEMPLATE_ROWS_MAX;
         line = strtok_r(NULL, "\r\n", &save))
        parse_line(ret, line);
}
