/* Reads the tokens of a printed line: numbers, dates, times of day and durations, as NUMBERS in readers/text/lines.py has them.
 *
 * A token has the value that Python would give it, to the last bit; or it is odd, and Python converts its text. Word boundaries
 * are those of ASCII. No byte before the begin of a line, or at or beyond its end, is read.
 */
#include <stdint.h>
#include <string.h>

#include "calendar.h"
#include "decimals.h"

enum { NUMBER = 0, CLOCK = 1, DATE = 2, ODD = 3 }; /* kinds of tokens; a date has microseconds since 1970 as value */
enum { LONGEST_WITH_COMMAS = 40, MOST_CLOCK_DIGITS = 15, MOST_EXACT_DIGITS = 15, MOST_EXACT_POWER = 22, LONGEST_HEADER = 64 };

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

typedef struct {
    const char *end;
    double value;
    uint8_t kind;
    uint8_t is_infinite;
} Token;

static inline int is_word_char(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static inline int may_begin_token(char c) {
    return is_digit(c) || c == '-' || c == '+' || c == 'n' || c == 'N' || c == 'i' || c == 'I';
}

/* Whether a text begins with a word in small letters, whatever the case of its own. */
static inline int is_word_at(const char *p, const char *end, const char *word) {
    for (; *word; word++, p++)
        if (p == end || (*p | 0x20) != *word) return 0;
    return 1;
}

static inline int is_boundary_behind(const char *p, const char *end) { return p == end || !is_word_char(*p); }

static inline const char *digits_of(const char *p, const char *end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

static inline int are_digits(const char *p, const char *end, int count) {
    if (end - p < count) return 0;
    for (int i = 0; i < count; i++)
        if (!is_digit(p[i])) return 0;
    return 1;
}

/* ------------------------------------------------------------------ numbers */

static inline double signed_value(double value, int negative) { return negative ? -value : value; }

/* Reads [.[digits]][e[+-]digits] behind whole digits, which are in `d`; 0 where the value is not certain. `*after` is then behind
 * all of it in either case. */
static inline int read_rest(const char *p, const char *end, Decimal *d, const char **after, double *value) {
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        for (; p < end && is_digit(*p); p++) d->digits = d->digits * 10 + (uint64_t)(*p - '0');
        d->power = fraction - p, d->point = 1;
    }
    d->end = *after = p;
    int sure = 1;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *number = p + 1 + (p + 1 < end && (p[1] == '+' || p[1] == '-'));
        const char *behind = digits_of(number, end);
        if (behind > number) {
            sure = read_exponent(p + 1, end, &d->power) == behind;
            *after = behind;
        }
    }
    if (!sure) return 0;
    int64_t digits = d->end - d->begin - d->point;
    if (digits <= MOST_EXACT_DIGITS && d->power == 0) return *value = (double)d->digits, 1;
    if (digits <= MOST_EXACT_DIGITS && d->power < 0 && d->power >= -MOST_EXACT_POWER)
        return *value = (double)d->digits / TENS[-d->power], 1; /* both are exact, so the quotient is the nearest double */
    return magnitude(d, value);
}

static inline int read_plain(const char *p, const char *end, const char **after, double *value) {
    Decimal d = {.begin = p};
    for (; p < end && is_digit(*p); p++) d.digits = d.digits * 10 + (uint64_t)(*p - '0');
    return read_rest(p, end, &d, after, value);
}

/* Returns the position behind a number with commas between thousands (``1,234,567.8``); NULL where there is none. */
static inline const char *end_of_thousands(const char *p, const char *end) {
    if (p == end || *p == '0') return NULL;
    const char *first = digits_of(p, end), *found = NULL;
    if (first == p || first - p > 3) return NULL;
    for (p = first; p < end && *p == ',' && are_digits(p + 1, end, 3);) {
        p += 4;
        if (is_boundary_behind(p, end)) found = p;
    }
    if (found && found < end && *found == '.' && are_digits(found + 1, end, 1)) found = digits_of(found + 1, end);
    return found;
}

static inline int value_without_commas(const char *p, const char *end, double *value) {
    char bare[LONGEST_WITH_COMMAS];
    const char *after;
    int length = 0;
    if (end - p > LONGEST_WITH_COMMAS) return 0;
    for (; p < end; p++)
        if (*p != ',') bare[length++] = *p;
    return read_plain(bare, bare + length, &after, value);
}

/* Reads a number from its first digit on, which is there. */
static inline void read_digits_token(const char *p, const char *end, int negative, Token *token) {
    double value = 0;
    int sure = 0;
    Decimal d = {.begin = p};
    const char *behind = p, *thousands = NULL;
    for (; behind < end && is_digit(*behind); behind++) d.digits = d.digits * 10 + (uint64_t)(*behind - '0');
    if (behind < end && *behind == ',') thousands = end_of_thousands(p, end);
    if (thousands) token->end = thousands, sure = value_without_commas(p, thousands, &value);
    else sure = read_rest(behind, end, &d, &token->end, &value);
    token->kind = sure ? NUMBER : ODD;
    token->value = signed_value(value, negative);
}

/* Reads nan, inf or infinity as a word of its own; `p` is behind a sign, if there is one. */
static inline int read_word_token(const char *line, const char *p, const char *end, char sign, Token *token) {
    int length = is_word_at(p, end, "nan") ? 3 : is_word_at(p, end, "infinity") ? 8 : is_word_at(p, end, "inf") ? 3 : 0;
    if (!length || (p > line && is_word_char(p[-1]))) return 0;
    if (!is_boundary_behind(p + length, end)) return 0;
    int is_nan = (*p | 0x20) == 'n' && length == 3;
    uint64_t bits = is_nan ? 0x7FF8000000000000u : 0x7FF0000000000000u;
    memcpy(&token->value, &bits, 8);
    token->value = signed_value(token->value, sign == '-');
    token->end = p + length, token->is_infinite = !is_nan;
    token->kind = length == 8 || (is_nan && sign == '-') ? ODD : NUMBER;
    return 1;
}

/* ------------------------------------------------------------------ times */

static inline int two_digits(const char *p) { return (p[0] - '0') * 10 + (p[1] - '0'); }

/* Reads digits:dd[:dd][.digits], a time of day or a duration, as seconds; 0 where there is none. `colon` is behind its first digits. */
static inline int read_clock(const char *p, const char *colon, const char *end, Token *token) {
    const char *begin = p;
    if (!are_digits(colon + 1, end, 2)) return 0;
    int parts = 2;
    const char *last = colon + 1;
    if (end - last > 2 && last[2] == ':' && are_digits(last + 3, end, 2)) parts = 3, last += 3;
    token->end = last + 2;
    if (token->end < end && *token->end == '.' && are_digits(token->end + 1, end, 1)) token->end = digits_of(token->end + 1, end);
    double seconds = 0, first = 0;
    const char *after;
    int sure = colon - begin <= MOST_CLOCK_DIGITS && read_plain(last, token->end, &after, &seconds) && after == token->end;
    for (p = begin; sure && p < colon; p++) first = first * 10 + (*p - '0');
    token->kind = sure ? CLOCK : ODD;
    token->value = parts == 2 ? seconds + first * 60.0 + 0.0 : seconds + two_digits(colon + 1) * 60.0 + first * 3600.0;
    return 1;
}

/* Reads [.,]digits after the seconds as microseconds; `*sure` becomes 0 where there are more than six. */
static inline const char *end_of_fraction(const char *p, const char *end, int64_t *micros, int *sure) {
    *micros = 0;
    if (p == end || (*p != '.' && *p != ',') || !are_digits(p + 1, end, 1)) return p;
    const char *after = digits_of(p + 1, end);
    if (after - p > 7) *sure = 0;
    else
        for (int i = 1; i < 7; i++) *micros = *micros * 10 + (p + i < after ? p[i] - '0' : 0);
    return after;
}

/* Reads Z or +dd[:]dd; the offset is in minutes. */
static inline const char *end_of_zone(const char *p, const char *end, int64_t *minutes) {
    *minutes = 0;
    if (p < end && *p == 'Z') return p + 1;
    if (p == end || (*p != '+' && *p != '-') || !are_digits(p + 1, end, 2)) return p;
    const char *rest = p + 3 + (p + 3 < end && p[3] == ':');
    if (!are_digits(rest, end, 2)) return p;
    *minutes = (two_digits(p + 1) * 60 + two_digits(rest)) * (*p == '-' ? -1 : 1);
    return rest + 2;
}

/* Reads dddd-dd-dd and perhaps a time of day behind it; 0 where there is none. A date without a time is odd. */
static inline int read_date(const char *p, const char *end, Token *token) {
    if (!are_digits(p, end, 4) || end - p < 10 || (p[4] != '-' && p[4] != '/') || !are_digits(p + 5, end, 2)) return 0;
    if ((p[7] != '-' && p[7] != '/') || !are_digits(p + 8, end, 2)) return 0;
    token->end = p + 10, token->kind = ODD, token->value = 0;
    const char *t = token->end;
    while (t < end && (*t == ' ' || *t == 'T' || *t == '_')) t++;
    if (t == token->end || end - t < 8 || !are_digits(t, end, 2) || t[2] != ':' || !are_digits(t + 3, end, 2) || t[5] != ':' ||
        !are_digits(t + 6, end, 2))
        return 1;
    int64_t year = two_digits(p) * 100 + two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8);
    int64_t hour = two_digits(t), minute = two_digits(t + 3), second = two_digits(t + 6), micros, zone;
    int sure = t - token->end == 1 && year >= 1970 && year <= 2199 && is_date(year, month, day);
    sure = sure && hour < 24 && minute < 60 && second < 60;
    token->end = end_of_zone(end_of_fraction(t + 8, end, &micros, &sure), end, &zone);
    if (!sure) return 1;
    token->kind = DATE;
    int64_t minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - zone;
    token->value = (double)((minutes * 60 + second) * 1000000 + micros);
    return 1;
}

/* ------------------------------------------------------------------ tokens */

/* Reads the token that begins at `p` in a line; 0 where none does. */
static inline int read_token(const char *line, const char *p, const char *end, Token *token) {
    if (p == end || !may_begin_token(*p)) return 0;
    token->is_infinite = 0;
    if (is_digit(*p)) {
        const char *behind = digits_of(p + 1, end);
        if (behind < end && *behind == ':' && read_clock(p, behind, end, token)) return 1;
        if (behind - p >= 4 && read_date(p, end, token)) return 1;
        if (p > line && is_word_char(p[-1])) return 0;
        read_digits_token(p, end, 0, token);
        return 1;
    }
    char sign = *p == '-' || *p == '+' ? *p++ : 0;
    if (sign && p < end && is_digit(*p)) {
        read_digits_token(p, end, sign == '-', token);
        return 1;
    }
    return read_word_token(line, p, end, sign, token);
}

/* ------------------------------------------------------------------ UTF-8 */

/* Returns the position behind a blank, also of more than one byte; NULL for other characters. */
static inline const char *behind_blank(const char *p, const char *end) {
    const uint8_t *u = (const uint8_t *)p;
    if (*p == ' ' || (*p >= '\t' && *p <= '\r')) return p + 1;
    if (end - p >= 2 && u[0] == 0xC2 && (u[1] == 0x85 || u[1] == 0xA0)) return p + 2;
    if (end - p < 3) return NULL;
    int is_blank = (u[0] == 0xE1 && u[1] == 0x9A && u[2] == 0x80) || (u[0] == 0xE3 && u[1] == 0x80 && u[2] == 0x80) ||
                   (u[0] == 0xE2 && u[1] == 0x81 && u[2] == 0x9F) ||
                   (u[0] == 0xE2 && u[1] == 0x80 && (u[2] <= 0x8A || u[2] == 0xA8 || u[2] == 0xA9 || u[2] == 0xAF));
    return is_blank ? p + 3 : NULL;
}

/* Whether a line begins with a bar, perhaps behind blanks. */
static inline int begins_with_bar(const char *p, const char *end) {
    const char *next;
    while (p < end && (next = behind_blank(p, end)) != NULL) p = next;
    return p < end && *p == '|';
}

/* Returns the position behind one of some words (the longest first), whatever its case; NULL where there is none. */
static inline const char *behind_one_of(const char *p, const char *end, const char *const *words) {
    for (; *words; words++)
        if (is_word_at(p, end, *words)) return p + strlen(*words);
    return NULL;
}

static inline int is_plain_word_char(char c) { return is_word_char(c) && c != '_'; }

/* Returns the position of the first letter, digit or bar; sets `*marks` where a mark of a header is before it. */
static inline const char *behind_marks(const char *p, const char *end, int *marks) {
    for (; p < end && !is_plain_word_char(*p) && *p != '|'; p++)
        if (memchr(":=-*#[].<>~", *p, 11)) *marks = 1;
    return p;
}

/* Whether a line only names a split: is_split_header in readers/text/lines.py. */
static inline int is_split_header(const char *p, const char *end) {
    static const char *const words[] = {"training", "train", "validation", "validating", "valid", "val", "testing",
                                        "test", "evaluation", "evaluating", "eval", "dev", NULL};
    static const char *const more[] = {"set", "results", "result", "metrics", "stats", "phase", "split", "summary", NULL};
    int marks = 0;
    if (end - p > LONGEST_HEADER) return 0;
    p = behind_marks(p, end, &marks);
    if (is_word_at(p, end, "stage") && end - p > 5 && (p[5] == '.' || p[5] == '_' || p[5] == ' ')) marks |= p[5] == '.', p += 6;
    p = behind_one_of(p, end, words);
    if (p == NULL) return 0;
    if (p < end && (*p == ' ' || *p == '_' || *p == '-')) {
        const char *behind = behind_one_of(p + 1, end, more);
        if (behind) marks |= *p == '-', p = behind;
    }
    return behind_marks(p, end, &marks) == end && marks;
}

/* Returns the position of the first byte beyond ASCII, or the end. */
static inline const char *behind_ascii(const char *p, const char *end) {
    const uint64_t beyond = 0x8080808080808080u;
    for (uint64_t w[4]; end - p >= 32 && (memcpy(w, p, 32), ((w[0] | w[1] | w[2] | w[3]) & beyond) == 0);) p += 32;
    while (p < end && (uint8_t)*p < 0x80) p++;
    return p;
}

/* Whether a text may hold digits of other scripts. Some letters of these scripts are taken for digits. */
static inline int has_foreign_digits(const char *p, const char *end) {
    for (; (p = behind_ascii(p, end)) < end; p++) {
        uint8_t c = (uint8_t)*p;
        if (c < 0xC0) continue;
        uint8_t next = p + 1 < end ? (uint8_t)p[1] : 0, third = p + 2 < end ? (uint8_t)p[2] : 0;
        if (c == 0xD9 || c == 0xDB || c == 0xDF || c == 0xE0 || c == 0xE1 || c == 0xEA) return 1;
        if (c == 0xEF && next == 0xBC && third >= 0x90 && third <= 0x99) return 1;
        if (c > 0xF0 || (c == 0xF0 && (next != 0x9F || third == 0xAF))) return 1;
    }
    return 0;
}
