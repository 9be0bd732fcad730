/* Texts among the values of a row: times in ISO 8601, and words, which a column collects in a short list.
 *
 * Whether a text may be a number in disguise is not decided here: a word begins with a letter and cannot be mistaken for one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"

enum { MOST_WORDS = 64, LONGEST_WORD = 200 };

typedef struct {
    char *text;
    size_t length;
} Word;

typedef struct {
    Word *words;
    int32_t count, last; /* the place of the word that was met last */
} WordList;

static void free_words(WordList *list) {
    for (int32_t i = 0; i < list->count; i++) free(list->words[i].text);
    free(list->words);
}

static int is_word(const Word *word, const char *text, size_t length) {
    return word->length == length && memcmp(word->text, text, length) == 0;
}

static int32_t add_word(WordList *list, const char *text, size_t length) {
    if (list->count == MOST_WORDS) return -1;
    if (list->words == NULL && (list->words = malloc(MOST_WORDS * sizeof(Word))) == NULL) return -1;
    char *copy = malloc(length);
    if (copy == NULL) return -1;
    memcpy(copy, text, length);
    list->words[list->count] = (Word){copy, length};
    return list->last = list->count++;
}

/* Returns the place of a word in the list, perhaps a new one; -1 if the list is full. */
static int32_t place_of_word(WordList *list, const char *text, size_t length) {
    if (list->count && is_word(&list->words[list->last], text, length)) return list->last;
    for (int32_t i = 0; i < list->count; i++)
        if (is_word(&list->words[i], text, length)) return list->last = i;
    return add_word(list, text, length);
}

static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Returns the position of the quote after a word: ASCII, a letter at the beginning, but not as in nan and inf, no parenthesis
 * as in tensor(0.5), no escape. NULL for any other text. */
static const char *read_word_text(const char *p, const char *end) {
    const char *begin = p;
    if (p == end || !is_letter(*p) || *p == 'n' || *p == 'N' || *p == 'i' || *p == 'I') return NULL;
    for (; p < end && *p != '"'; p++)
        if (*p < ' ' || *p > '~' || *p == '\\' || *p == '(') return NULL;
    return p < end && p - begin <= LONGEST_WORD ? p : NULL;
}

/* Reads a number of so many digits. */
static const char *read_fixed(const char *p, const char *end, int count, int64_t *number) {
    if (p == NULL || end - p < count) return NULL;
    *number = 0;
    for (int i = 0; i < count; i++, p++) {
        if (*p < '0' || *p > '9') return NULL;
        *number = *number * 10 + (*p - '0');
    }
    return p;
}

/* Reads a separator and then a number of two digits. */
static const char *read_pair(const char *p, const char *end, char separator, int64_t *number) {
    return p != NULL && p < end && *p == separator ? read_fixed(p + 1, end, 2, number) : NULL;
}

/* Reads Z, an offset like +02:00, or nothing; the offset is in minutes. */
static const char *read_zone(const char *p, const char *end, int64_t *minutes) {
    *minutes = 0;
    if (p < end && *p == 'Z') return p + 1;
    if (p == end || (*p != '+' && *p != '-')) return p;
    int64_t hours, rest, sign = *p == '-' ? -1 : 1;
    p = read_pair(read_fixed(p + 1, end, 2, &hours), end, ':', &rest);
    if (p == NULL || hours > 23 || rest > 59) return NULL;
    *minutes = sign * (60 * hours + rest);
    return p;
}

/* Reads one to six digits after a point, if there is one, as microseconds. */
static const char *read_fraction(const char *p, const char *end, int64_t *micros) {
    *micros = 0;
    if (p == end || *p != '.') return p;
    int count = 0;
    for (p++; count < 6 && p < end && *p >= '0' && *p <= '9'; p++, count++) *micros = *micros * 10 + (*p - '0');
    if (count == 0) return NULL;
    for (; count < 6; count++) *micros *= 10;
    return p;
}

/* Reads YYYY-MM-DDTHH:MM:SS[.ffffff][zone] and its quote, as microseconds since 1970; a time without a zone is UTC. */
static const char *read_time(const char *p, const char *end, double *micros) {
    int64_t year, month, day, hour, minute, second, fraction, zone;
    p = read_pair(read_pair(read_fixed(p, end, 4, &year), end, '-', &month), end, '-', &day);
    if (p == NULL || p == end || (*p != 'T' && *p != ' ')) return NULL;
    p = read_pair(read_pair(read_fixed(p + 1, end, 2, &hour), end, ':', &minute), end, ':', &second);
    if (p == NULL || !is_date(year, month, day) || hour > 23 || minute > 59 || second > 59) return NULL;
    if ((p = read_fraction(p, end, &fraction)) == NULL || (p = read_zone(p, end, &zone)) == NULL) return NULL;
    if (p == end || *p != '"' || year < 1970 || year > 2199) return NULL;
    int64_t minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - zone;
    *micros = (double)((minutes * 60 + second) * 1000000 + fraction);
    return p + 1;
}
