/* "Did you mean …?": the nearest known word by edit distance. Words longer than a command name are not compared. */
#include "cli/command_priv.h"

#define WORD_MAX 32u

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein distance with swaps of neighbours counting as one. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t rows[3][WORD_MAX + 1];

    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < row[j])
                row[j] = above2[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

void suggest_init(struct suggest *s, const char *word)
{
    *s = (struct suggest){.word = word, .best_distance = SIZE_MAX};
}

void suggest_offer(struct suggest *s, const char *candidate)
{
    size_t d = distance(s->word, candidate);

    if (*candidate && d < s->best_distance) {
        s->best = candidate;
        s->best_distance = d;
    }
}

const char *suggest_result(const struct suggest *s)
{
    size_t near = strlen(s->word) <= 4 ? 1 : 2;

    return s->best && s->best_distance <= near + (strlen(s->word) > 8) ? s->best : NULL;
}
