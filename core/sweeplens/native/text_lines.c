/* Finds the lines of one shape in a text log, and converts the numbers in them.
 *
 * The numbers, dates and times of day of a line are its tokens; the text between them is its shape. A scan returns the lines that
 * may hold a value, the shape of each, and the value and place of each token. Only Python decides what a shape means
 * (readers/text), and it converts the tokens that are marked as odd. The grammar of tokens is NUMBERS in readers/text/lines.py.
 *
 * Most lines have the shape that followed the last one before, so that shape is tried first, piece by piece. Memory grows with the
 * lines and tokens of one text and ends with it. No byte at or beyond the end of the text is read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

enum { MOST_TOKENS = 1023, LONGEST_LINE = 1 << 16 }; /* lines with more are not rows */

typedef struct {
    int64_t number; /* from 0 */
    int64_t first;  /* the index of its first token */
    uint32_t begin, end;
    int32_t shape, count; /* of its tokens */
} TextLine;

typedef struct {
    uint64_t hash;
    int64_t line;    /* the index of the first line with this shape */
    int64_t lines;   /* how many lines have it */
    int32_t next;    /* the shape of the line after the last one with this shape */
    int32_t is_safe; /* no token can begin in the text between its tokens, so that lines may be compared piece by piece */
    int32_t is_row;  /* that text alone makes it a line that may hold a value */
} TextShape;

typedef struct {
    const char *text;
    TextLine *lines;
    TextShape *shapes;
    double *values; /* of the tokens */
    uint32_t *begins, *ends;
    uint8_t *kinds;
    int32_t *slots; /* by hash, a shape + 1; at most half of them are used */
    int64_t n_lines, room_for_lines, n_tokens, room_for_tokens, n_slots;
    int32_t n_shapes, room_for_shapes;
    int32_t last; /* the shape of the last line */
} TextScan;

enum { NO_SHAPE = -1, NO_MEMORY = -1, FOREIGN_DIGITS = -2 };

#define GROW(pointer, count) replaced(&(pointer), realloc((pointer), (size_t)(count) * sizeof *(pointer)))

static int replaced(void *pointer, void *grown) {
    if (grown) memcpy(pointer, &grown, sizeof grown);
    return grown != NULL;
}

/* ------------------------------------------------------------------ memory */

/* Makes room for one more line with the most tokens that a line may have. */
static int has_room(TextScan *s) {
    if (s->n_lines == s->room_for_lines) {
        int64_t room = s->room_for_lines ? 2 * s->room_for_lines : 1024;
        if (!GROW(s->lines, room)) return 0;
        s->room_for_lines = room;
    }
    if (s->n_tokens + MOST_TOKENS + 1 <= s->room_for_tokens) return 1;
    int64_t room = s->room_for_tokens ? 2 * s->room_for_tokens : 8192;
    if (!GROW(s->values, room) || !GROW(s->begins, room) || !GROW(s->ends, room) || !GROW(s->kinds, room)) return 0;
    s->room_for_tokens = room;
    return 1;
}

static void enter(TextScan *s, int32_t shape) {
    uint64_t slot = s->shapes[shape].hash;
    while (s->slots[slot & (uint64_t)(s->n_slots - 1)]) slot++;
    s->slots[slot & (uint64_t)(s->n_slots - 1)] = shape + 1;
}

static int has_room_for_shape(TextScan *s) {
    if (s->n_shapes < s->room_for_shapes) return 1;
    if (s->room_for_shapes > INT32_MAX / 4) return 0;
    int32_t room = s->room_for_shapes ? 2 * s->room_for_shapes : 64;
    if (!GROW(s->shapes, room) || !GROW(s->slots, 2 * (int64_t)room)) return 0;
    s->room_for_shapes = room, s->n_slots = 2 * (int64_t)room;
    memset(s->slots, 0, (size_t)s->n_slots * sizeof *s->slots);
    for (int32_t i = 0; i < s->n_shapes; i++) enter(s, i);
    return 1;
}

/* ------------------------------------------------------------------ lines */

/* Adds a token to the last line, which is not counted yet. */
static void put(TextScan *s, TextLine *line, const char *begin, const Token *token) {
    int64_t at = line->first + line->count++;
    s->begins[at] = (uint32_t)(begin - s->text), s->ends[at] = (uint32_t)(token->end - s->text);
    s->values[at] = token->value, s->kinds[at] = token->kind;
}

/* The text before the token `i` of a line, or after its last token. */
static const char *piece(const TextScan *s, const TextLine *line, int32_t i, size_t *length) {
    uint32_t begin = i ? s->ends[line->first + i - 1] : line->begin;
    uint32_t end = i < line->count ? s->begins[line->first + i] : line->end;
    *length = end - begin;
    return s->text + begin;
}

static uint64_t hash_of(const TextScan *s, const TextLine *line) {
    uint64_t hash = 14695981039346656037u, word;
    for (int32_t i = 0; i <= line->count; i++) {
        size_t length;
        const char *p = piece(s, line, i, &length);
        hash = (hash ^ length) * 1099511628211u;
        for (; length >= 8; p += 8, length -= 8) memcpy(&word, p, 8), hash = (hash ^ word) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
        for (; length; p++, length--) hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    }
    return hash ^ (hash >> 32);
}

static int have_same_shape(const TextScan *s, const TextLine *one, const TextLine *other) {
    if (one->count != other->count) return 0;
    for (int32_t i = 0; i <= one->count; i++) {
        size_t length, others;
        const char *p = piece(s, one, i, &length), *q = piece(s, other, i, &others);
        if (length != others || memcmp(p, q, length) != 0) return 0;
    }
    return 1;
}

/* Whether a word for a number may begin at `p` in another line with this text: it does unless a letter follows in the text. */
static int may_be_word(const char *p, const char *end, const char *word, int length) {
    return is_word_at(p, end, word) && is_boundary_behind(p + length, end);
}

/* Whether digits in a text, from `p` to `behind`, can never be a token, whatever stands around the text: they are behind a
 * letter (`acc1`), and no date or time of day can begin there. */
static int are_of_a_name(const char *begin, const char *p, const char *behind, const char *end) {
    if (p == begin || !is_word_char(p[-1]) || behind - p >= 4) return 0;
    return behind == end || *behind != ':' || (end - behind > 1 && !is_digit(behind[1]));
}

/* Whether no token can begin in a text, whatever stands around it. */
static int is_safe_piece(const char *begin, const char *end, int before_token) {
    if (before_token && end > begin && (end[-1] == '-' || end[-1] == '+')) return 0;
    for (const char *p = begin; p < end; p++) {
        if (may_be_word(p, end, "nan", 3) || may_be_word(p, end, "inf", 3) || may_be_word(p, end, "infinity", 8)) return 0;
        if (!is_digit(*p)) continue;
        const char *behind = digits_of(p, end);
        if (!are_of_a_name(begin, p, behind, end)) return 0;
        p = behind - 1;
    }
    return 1;
}

static int is_safe(const TextScan *s, const TextLine *line) {
    for (int32_t i = 0; i <= line->count; i++) {
        size_t length;
        const char *p = piece(s, line, i, &length);
        if (!is_safe_piece(p, p + length, i < line->count)) return 0;
    }
    return 1;
}

/* Whether a line without numbers is one that may hold a value or names a split. */
static int holds_without_numbers(const char *p, const char *end) { return begins_with_bar(p, end) || is_split_header(p, end); }

/* Whether the text between the tokens makes a line one that may hold a value. */
static int is_row_by_text(const TextScan *s, const TextLine *line) {
    for (int32_t i = 0; i <= line->count; i++) {
        size_t length;
        const char *p = piece(s, line, i, &length), *end = p + length;
        for (; p < end; p++)
            if (is_digit(*p) || is_word_at(p, end, "nan")) return 1;
    }
    return holds_without_numbers(s->text + line->begin, s->text + line->end);
}

/* Returns the shape of a line, perhaps a new one; NO_SHAPE without memory. */
static int32_t shape_of(TextScan *s, const TextLine *line) {
    uint64_t hash = hash_of(s, line);
    for (uint64_t slot = hash; s->n_slots; slot++) {
        int32_t found = s->slots[slot & (uint64_t)(s->n_slots - 1)] - 1;
        if (found < 0) break;
        if (s->shapes[found].hash == hash && have_same_shape(s, line, &s->lines[s->shapes[found].line])) return found;
    }
    if (!has_room_for_shape(s)) return NO_SHAPE;
    s->shapes[s->n_shapes] = (TextShape){
        .hash = hash, .line = s->n_lines, .next = NO_SHAPE, .is_safe = is_safe(s, line), .is_row = is_row_by_text(s, line)};
    enter(s, s->n_shapes);
    return s->n_shapes++;
}

/* Reads a line that may have this shape; returns whether it has. */
static int has_shape(TextScan *s, int32_t shape, TextLine *line) {
    if (shape == NO_SHAPE || !s->shapes[shape].is_safe) return 0;
    const TextLine *known = &s->lines[s->shapes[shape].line];
    const char *p = s->text + line->begin, *end = s->text + line->end;
    int values = 0;
    for (int32_t i = 0; i < known->count; i++) {
        size_t length;
        const char *before = piece(s, known, i, &length);
        Token token;
        if ((size_t)(end - p) < length || memcmp(p, before, length) != 0) return 0;
        p += length;
        if (!read_token(s->text + line->begin, p, end, &token)) return 0;
        values |= !token.is_infinite; /* infinite numbers alone are no reason to read a line */
        put(s, line, p, &token);
        p = token.end;
    }
    size_t length;
    const char *rest = piece(s, known, known->count, &length);
    return (size_t)(end - p) == length && memcmp(p, rest, length) == 0 && (values || s->shapes[shape].is_row);
}

/* Reads any line; returns whether it may hold a value. */
static int read_line(TextScan *s, TextLine *line) {
    const char *begin = s->text + line->begin, *end = s->text + line->end;
    int values = 0;
    for (const char *p = begin; p < end;) {
        Token token;
        if (!may_begin_token(*p)) {
            p++;
        } else if (!read_token(begin, p, end, &token)) {
            values |= is_digit(*p) || is_word_at(p, end, "nan");
            p++;
        } else {
            if (line->count == MOST_TOKENS) return 0;
            values |= !token.is_infinite;
            put(s, line, p, &token);
            p = token.end;
        }
    }
    return values || holds_without_numbers(begin, end);
}

/* Takes one line; returns 0 without memory. */
static int take_line(TextScan *s, TextLine line) {
    if (!has_room(s)) return 0;
    line.first = s->n_tokens;
    int32_t likely = s->last == NO_SHAPE ? NO_SHAPE : s->shapes[s->last].next;
    if (has_shape(s, likely, &line)) {
        line.shape = likely;
    } else {
        line.count = 0;
        if (!read_line(s, &line)) return 1;
        line.shape = shape_of(s, &line);
        if (line.shape == NO_SHAPE) return 0;
    }
    s->lines[s->n_lines++] = line;
    s->n_tokens += line.count;
    s->shapes[line.shape].lines++;
    if (s->last != NO_SHAPE) s->shapes[s->last].next = line.shape;
    s->last = line.shape;
    return 1;
}

/* ------------------------------------------------------------------ for Python */

PUBLIC void scan_free(TextScan *s) {
    if (s == NULL) return;
    free(s->lines), free(s->shapes), free(s->values), free(s->begins), free(s->ends), free(s->kinds), free(s->slots), free(s);
}

PUBLIC TextScan *scan_new(void) { return calloc(1, sizeof(TextScan)); }

/* Scans a text of less than 4 GB, in UTF-8, which must stay where it is. Returns how many lines may hold a value; NO_MEMORY;
 * FOREIGN_DIGITS where the text has digits beyond ASCII, which are for Python. A scan is for one text. */
PUBLIC int64_t scan_text(TextScan *s, const char *text, int64_t length, int32_t is_ascii) {
    const char *end = text + length;
    if (!is_ascii && has_foreign_digits(text, end)) return FOREIGN_DIGITS;
    s->text = text, s->last = NO_SHAPE;
    int64_t number = 0;
    for (const char *p = text; p < end; number++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline ? newline : end;
        if (stop - p <= LONGEST_LINE &&
            !take_line(s, (TextLine){.number = number, .begin = (uint32_t)(p - text), .end = (uint32_t)(stop - text)}))
            return NO_MEMORY;
        p = newline ? newline + 1 : end;
    }
    return s->n_lines;
}

PUBLIC int32_t scan_shapes(const TextScan *s) { return s->n_shapes; }
PUBLIC int64_t scan_tokens(const TextScan *s) { return s->n_tokens; }

/* Copies the lines: number, first token and shape of each. */
PUBLIC void scan_copy_lines(const TextScan *s, int64_t *numbers, int64_t *firsts, int32_t *shapes) {
    for (int64_t i = 0; i < s->n_lines; i++)
        numbers[i] = s->lines[i].number, firsts[i] = s->lines[i].first, shapes[i] = s->lines[i].shape;
}

/* Copies the shapes: number of the first line of each, its bytes, its tokens; and how many lines have the shape. */
PUBLIC void scan_copy_shapes(const TextScan *s, int64_t *numbers, uint32_t *begins, uint32_t *ends, int32_t *tokens, int64_t *counts) {
    for (int32_t i = 0; i < s->n_shapes; i++) {
        const TextLine *line = &s->lines[s->shapes[i].line];
        numbers[i] = line->number, begins[i] = line->begin, ends[i] = line->end, tokens[i] = line->count;
        counts[i] = s->shapes[i].lines;
    }
}

/* Copies the values of one token of each of so many lines, at `firsts` + `place`; returns the kinds among them as bits. */
PUBLIC int32_t scan_copy_values(const TextScan *s, const int64_t *firsts, int64_t count, int64_t place, double *values) {
    int32_t kinds = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = firsts[i] + place;
        if (at < 0 || at >= s->n_tokens) return -1;
        values[i] = s->values[at];
        kinds |= 1 << s->kinds[at];
    }
    return kinds;
}

/* Copies the bytes of these tokens; returns 0 where one does not exist. */
PUBLIC int32_t scan_copy_places(const TextScan *s, const int64_t *firsts, int64_t count, int64_t place, uint32_t *begins, uint32_t *ends) {
    for (int64_t i = 0; i < count; i++) {
        int64_t at = firsts[i] + place;
        if (at < 0 || at >= s->n_tokens) return 0;
        begins[i] = s->begins[at], ends[i] = s->ends[at];
    }
    return 1;
}
