/* Reads the usual tokens of a printed line fast: numbers of few digits, and the time of the minute that was read last.
 *
 * Each function returns the position behind a token, or NULL for any text that it does not know; then `read_token` decides. The
 * value is the one that `read_token` finds, to the last bit. `READABLE` bytes from `p` on must be in the text. They may be those
 * of the next lines: no token contains a line's end.
 */
#include <stdint.h>
#include <string.h>

#include "tokens.h"

enum { READABLE = 64, MINUTE_BYTES = 16 };

static const uint64_t FEW_TENS[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};

/* As many bytes of a word as the index, the first in memory; all for greater ones. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FIRST(n) ((n) < 8 ? (UINT64_C(1) << (8 * ((n) & 7))) - 1 : UINT64_MAX)
#else
#define FIRST(n) ((n) == 0 ? 0 : (n) < 8 ? UINT64_MAX << (8 * ((8 - (n)) & 7)) : UINT64_MAX)
#endif
static const uint64_t FIRST_BYTES[] = {FIRST(0),  FIRST(1),  FIRST(2),  FIRST(3),  FIRST(4),  FIRST(5),  FIRST(6),  FIRST(7), FIRST(8),
                                       FIRST(9),  FIRST(10), FIRST(11), FIRST(12), FIRST(13), FIRST(14), FIRST(15), FIRST(16)};

/* The last date with a time: its text up to the minute, and the minutes since 1970. */
typedef struct {
    uint64_t text[2];
    int64_t minutes;
    int is_known;
} KnownMinute;

static inline uint64_t eight_bytes(const char *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

enum { MOST_DIGITS = 7 }; /* before and behind a point */

/* Eight characters without the bits of '0': digits become their values. */
static inline uint64_t values_at(const char *p) { return eight_bytes(p) ^ 0x3030303030303030u; }

/* Marks the characters that are no digits, except perhaps some behind the first one beyond ASCII. */
static inline uint64_t marks_of(uint64_t values) { return ((values + 0x7676767676767676u) | values) & 0x8080808080808080u; }

static inline int first_mark(uint64_t marks) { return marks ? __builtin_ctzll(marks) >> 3 : 8; }

/* The first `count` (from one to eight) of eight values of digits as a number. */
static inline uint64_t first_values(uint64_t values, int count) { return eight_values(values << (64 - 8 * count)); }

/* Reads e[+-]d[d] behind a number; NULL where there is none or one of more digits. */
static inline const char *quick_exponent(const char *p, int64_t *power) {
    int down = p[1] == '-';
    const char *digits = p + 1 + (down || p[1] == '+');
    if (!is_digit(digits[0])) return NULL;
    int64_t exponent = digits[0] - '0';
    const char *behind = digits + 1;
    if (is_digit(*behind)) exponent = exponent * 10 + (*behind++ - '0');
    if (is_digit(*behind)) return NULL;
    *power += down ? -exponent : exponent;
    return behind;
}

/* Reads a number whose digits are known up to `behind`: perhaps an exponent, then its value. */
static inline const char *quick_value(const char *behind, uint64_t digits, int64_t power, int negative, double *value) {
    if ((*behind | 0x20) == 'e' && (is_digit(behind[1]) || behind[1] == '-' || behind[1] == '+')) {
        if ((behind = quick_exponent(behind, &power)) == NULL) return NULL;
        if (power < -MOST_EXACT_POWER || power > MOST_EXACT_POWER) return NULL;
    }
    double found = (double)digits; /* at most fourteen digits, so that it and the power of ten are exact */
    if (power < 0) found /= TENS[-power];
    if (power > 0) found *= TENS[power];
    *value = negative ? -found : found;
    return behind;
}

/* Reads d.d with a point that is at `point`. */
static inline const char *quick_fraction(const char *p, const char *point, uint64_t values, int negative, double *value) {
    int whole = (int)(point - p), more;
    if (whole == 0 || (more = first_mark(marks_of(values_at(point + 1)))) > MOST_DIGITS) return NULL;
    uint64_t digits = first_values(values, whole) * FEW_TENS[more];
    if (more) digits += first_values(values_at(point + 1), more);
    return quick_value(point + 1 + more, digits, -more, negative, value);
}

/* Reads [+-]d[.d][e[+-]d] with at most seven digits before and behind the point. */
static inline const char *quick_number(const char *p, double *value) {
    int negative = 0;
    if (*p == '-' || *p == '+') negative = *p++ == '-';
    uint64_t values = values_at(p), marks = marks_of(values);
    if (marks == 0) return NULL;
    int whole = first_mark(marks);
    const char *behind = p + whole;
    if (*behind != '.') {
        if (whole == 0) return NULL;
        int may_go_on = *behind == ',' || *behind == ':' || *behind == '-' || *behind == '/';
        if (may_go_on && is_digit(behind[1])) return NULL; /* thousands, a time of day or a date */
        return quick_value(behind, first_values(values, whole), 0, negative, value);
    }
    marks &= marks - 1;
    if (whole == 0 || marks == 0) return quick_fraction(p, behind, values, negative, value);
    int count = first_mark(marks) - 1; /* of digits, without the point */
    uint64_t before = ((uint64_t)1 << (8 * whole)) - 1;
    uint64_t digits = first_values((values & before) | ((values >> 8) & ~before), count);
    return quick_value(p + count + 1, digits, whole - count, negative, value);
}

#else

static inline const char *quick_number(const char *p, double *value) { return (void)p, (void)value, NULL; }

#endif

/* Reads a date and a time in the minute that was read last. `end` is that of the text. */
static inline const char *quick_time(const KnownMinute *known, const char *p, const char *end, double *value) {
    if (!known->is_known || eight_bytes(p) != known->text[0] || eight_bytes(p + 8) != known->text[1]) return NULL;
    if (p[16] != ':' || !is_digit(p[17]) || !is_digit(p[18]) || p[17] > '5') return NULL;
    int64_t micros, zone;
    int sure = 1;
    const char *behind = end_of_zone(end_of_fraction(p + 19, end, &micros, &sure), end, &zone);
    if (!sure) return NULL;
    *value = (double)(((known->minutes - zone) * 60 + two_digits(p + 17)) * 1000000 + micros);
    return behind;
}

/* Keeps the minute of a date that `read_token` has read at `p`. */
static inline void keep_minute(KnownMinute *known, const char *p, const char *end, const Token *token) {
    known->is_known = 0;
    if (token->kind != DATE) return;
    int64_t micros, zone;
    int sure = 1;
    end_of_zone(end_of_fraction(p + 19, end, &micros, &sure), end, &zone);
    memcpy(known->text, p, MINUTE_BYTES);
    known->minutes = (((int64_t)token->value - micros) / 1000000 - two_digits(p + 17)) / 60 + zone;
    known->is_known = 1;
}
