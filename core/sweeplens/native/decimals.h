/* Converts numbers as JSON and Python write them to the nearest double, or to none.
 *
 * If the nearest double is not certain (more than nineteen digits near a tie, not a normal number) there is no result, and
 * Python parses the number. No byte at or beyond `end` is read.
 */
#include <stdint.h>
#include <string.h>

#include "powers.h" /* POWERS[2 * (e - LEAST_POWER)]: the first 128 bits of 10^e, the upper half first; written by the build */

__extension__ typedef unsigned __int128 Wide;

typedef struct {
    uint64_t digits; /* value = digits * 10^power, where all digits fit */
    int64_t power;
    const char *begin, *end; /* the digits as they are written, perhaps with a point */
    int whole;               /* neither point nor exponent */
    int point;
} Decimal;

static inline int is_digit(char c) { return c >= '0' && c <= '9'; }

static inline int is_eight_digits(uint64_t word) {
    const uint64_t upper = 0xF0F0F0F0F0F0F0F0u;
    return ((word & upper) | (((word + 0x0606060606060606u) & upper) >> 4)) == 0x3333333333333333u;
}

/* The values of eight digits, the first of them in the lowest byte, as a number: pairs, then fours, then all. */
static inline uint64_t eight_values(uint64_t word) {
    const uint64_t pair = 0x000000FF000000FFu;
    word = word * 10 + (word >> 8);
    return ((word & pair) * 0x000F424000000064u + ((word >> 16) & pair) * 0x0000271000000001u) >> 32;
}

static inline uint64_t eight_digits(uint64_t word) { return eight_values(word - 0x3030303030303030u); }

/* Digits from `*at` on, appended to `number`, which may wrap; `*at` is then behind them. */
static inline uint64_t read_digits(const char **at, const char *end, uint64_t number) {
    const char *p = *at;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (uint64_t word; end - p >= 8 && (memcpy(&word, p, 8), is_eight_digits(word)); p += 8)
        number = number * 100000000 + eight_digits(word);
#endif
    for (; p < end && is_digit(*p); p++) number = number * 10 + (uint64_t)(*p - '0');
    *at = p;
    return number;
}

/* digits * 10^power -> the nearest double, ties to even; 0 if that is not a normal number.
 * Lemire, "Number parsing at a gigabyte per second" (2021); that 128 bits always suffice: Mushtak and Lemire (2023). */
static inline int nearest(uint64_t digits, int64_t power, double *value) {
    if (digits == 0 || power < LEAST_POWER || power > GREATEST_POWER) return 0;
    const uint64_t *ten = POWERS + 2 * (power - LEAST_POWER);
    int zeros = __builtin_clzll(digits);
    digits <<= zeros;
    Wide product = (Wide)digits * ten[0];
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    if ((high & 0x1FF) == 0x1FF) {
        uint64_t more = (uint64_t)(((Wide)digits * ten[1]) >> 64);
        low += more;
        high += more > low;
    }
    int upper = (int)(high >> 63);
    uint64_t mantissa = high >> (upper + 9);
    int64_t exponent = ((217706 * power) >> 16) + 1023 + 63 + upper - zeros;
    int halfway = low <= 1 && power >= -4 && power <= 23 && (mantissa & 3) == 1 && mantissa << (upper + 9) == high;
    if (halfway) mantissa &= ~(uint64_t)1;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >> 53) mantissa >>= 1, exponent++;
    if (exponent <= 0 || exponent >= 2047) return 0;
    uint64_t bits = (mantissa & 0xFFFFFFFFFFFFFu) | ((uint64_t)exponent << 52);
    memcpy(value, &bits, 8);
    return 1;
}

/* Numbers with more digits than 64 bits hold: the first nineteen decide, unless the others could change the result. */
static inline int nearest_of_many(const Decimal *d, double *value) {
    uint64_t first = 0;
    const char *p = d->begin;
    while (p < d->end && (*p == '0' || *p == '.')) p++;
    for (int taken = 0; p < d->end && taken < 19; p++)
        if (*p != '.') first = first * 10 + (uint64_t)(*p - '0'), taken++;
    int64_t left = 0;
    for (; p < d->end; p++) left += *p != '.';
    double above;
    if (!nearest(first, d->power + left, value)) return 0;
    return left == 0 || (nearest(first + 1, d->power + left, &above) && *value == above);
}

/* Reads [+-]digits after an e; NULL if there are none or too many. */
static inline const char *read_exponent(const char *p, const char *end, int64_t *power) {
    int down = p < end && *p == '-';
    p += down || (p < end && *p == '+');
    const char *begin = p;
    uint64_t shift = read_digits(&p, end, 0);
    if (p == begin || p - begin > 4) return NULL;
    *power += down ? -(int64_t)shift : (int64_t)shift;
    return p;
}

/* digits[.digits][e[+-]digits], as JSON has it. */
static inline const char *read_decimal(const char *p, const char *end, Decimal *d) {
    *d = (Decimal){.begin = p, .whole = 1};
    d->digits = read_digits(&p, end, 0);
    if (p == d->begin || (*d->begin == '0' && p > d->begin + 1)) return NULL;
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        d->digits = read_digits(&p, end, d->digits);
        d->power = fraction - p;
        d->whole = 0, d->point = 1;
        if (p == fraction) return NULL;
    }
    d->end = p;
    if (p == end || (*p != 'e' && *p != 'E')) return p;
    d->whole = 0;
    return read_exponent(p + 1, end, &d->power);
}

static inline int magnitude(const Decimal *d, double *value) {
    int many = d->end - d->begin > 19 + d->point;
    if (d->digits == 0 && !many) return *value = 0, 1;
    return many ? nearest_of_many(d, value) : nearest(d->digits, d->power, value);
}

/* Reads Python's words for numbers that JSON lacks. */
static inline const char *read_word(const char *p, const char *end, int negative, double *value) {
    uint64_t bits;
    if (!negative && end - p >= 3 && memcmp(p, "NaN", 3) == 0) bits = 0x7FF8000000000000u, p += 3;
    else if (end - p >= 8 && memcmp(p, "Infinity", 8) == 0) bits = 0x7FF0000000000000u, p += 8;
    else return NULL;
    memcpy(value, &bits, 8);
    return p;
}

/* A number as Python's json reads it, as a double; returns the position after it, NULL if it is not certain. */
static inline const char *read_number(const char *p, const char *end, double *value) {
    int negative = p < end && *p == '-';
    p += negative;
    if (p < end && (*p == 'N' || *p == 'I')) {
        p = read_word(p, end, negative, value);
    } else {
        Decimal d;
        p = read_decimal(p, end, &d);
        if (p == NULL || !magnitude(&d, value)) return NULL;
        if (d.whole && *value == 0) negative = 0; /* -0 is the integer 0 */
    }
    if (negative && p) *value = -*value;
    return p;
}

/* A whole number of at most 18 digits. */
static inline const char *read_step(const char *p, const char *end, int64_t *step) {
    int negative = p < end && *p == '-';
    Decimal d;
    p = read_decimal(p + negative, end, &d);
    if (p == NULL || !d.whole || d.end - d.begin > 18) return NULL;
    *step = negative ? -(int64_t)d.digits : (int64_t)d.digits;
    return p;
}
