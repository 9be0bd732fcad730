/* Finds the lines of one shape in a text log, and converts the numbers in them.
 *
 * The numbers, dates and times of day of a line are its tokens; the text between them is its shape. A scan returns the lines that
 * may hold a value, the shape of each, and the value of each token. Only Python decides what a shape means (readers/text), and it
 * converts the tokens that are marked as odd. The grammar of tokens is NUMBERS in readers/text/lines.py.
 *
 * Most lines have a shape that followed the last one before, so these are tried first, piece by piece. Memory grows with the
 * lines and tokens of one text and ends with it. No byte at or beyond the end of the text is read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quick_tokens.h"

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

enum { MOST_TOKENS = 1023, LONGEST_LINE = 1 << 16 }; /* lines with more are not rows */

/* The text before a token of a shape, or behind its last one. */
typedef struct {
    uint64_t words[2]; /* its first sixteen bytes, zeros where it is shorter */
    uint32_t begin, length;
    uint32_t usual; /* the length of the last token behind it */
    int32_t joins;  /* a token behind it is perhaps none in another line */
} Piece;

typedef struct {
    uint64_t hash;
    int64_t number;      /* of its first line */
    int64_t lines;       /* how many lines have it */
    int64_t pieces;      /* the index of its first piece */
    uint32_t begin, end; /* its first line */
    int32_t count;       /* of tokens */
    int32_t next, other; /* the shapes of the lines after the last two with this shape */
    int32_t is_safe;     /* no token can begin in the text between its tokens, so that lines may be compared piece by piece */
    int32_t is_row;      /* that text alone makes it a line that may hold a value */
} TextShape;

typedef struct {
    const char *begin, *end;
    int32_t count;  /* of the tokens that were read */
    int32_t finite; /* whether one of them is a finite number */
} TextLine;

typedef struct {
    const char *text, *end;
    int64_t *numbers, *firsts; /* of each line: from 0; the index of its first token */
    uint32_t *line_begins;
    int32_t *line_shapes;
    double *values; /* of the tokens */
    uint8_t *kinds;
    TextShape *shapes;
    Piece *pieces;
    int32_t *slots; /* by hash, a shape + 1; at most half of them are used */
    int64_t n_ends; /* of lines */
    int64_t n_lines, room_for_lines, n_tokens, room_for_tokens, n_slots, n_pieces, room_for_pieces;
    int32_t n_shapes, room_for_shapes;
    int32_t last;     /* the shape of the last line */
    const char *left; /* the last line that holds no value */
    size_t left_length;
    KnownMinute minute;
    uint32_t begins[MOST_TOKENS], ends[MOST_TOKENS]; /* the tokens of the line that is read */
} TextScan;

enum { NO_SHAPE = -1, NO_MEMORY = -1, FOREIGN_DIGITS = -2 };

#define GROW(pointer, count) replaced(&(pointer), realloc((pointer), (size_t)(count) * sizeof *(pointer)))

static int replaced(void *pointer, void *grown) {
    if (grown) memcpy(pointer, &grown, sizeof grown);
    return grown != NULL;
}

/* ------------------------------------------------------------------ memory */

static int has_room_for_lines(TextScan *s) {
    int64_t room = s->room_for_lines;
    return GROW(s->numbers, room) && GROW(s->firsts, room) && GROW(s->line_begins, room) && GROW(s->line_shapes, room);
}

static int has_room_for_tokens(TextScan *s) { return GROW(s->values, s->room_for_tokens) && GROW(s->kinds, s->room_for_tokens); }

/* Makes room for one more line with the most tokens that a line may have. */
static int has_room(TextScan *s) {
    if (s->n_lines == s->room_for_lines) {
        s->room_for_lines *= 2;
        if (!has_room_for_lines(s)) return 0;
    }
    if (s->n_tokens + MOST_TOKENS + 1 <= s->room_for_tokens) return 1;
    s->room_for_tokens *= 2;
    return has_room_for_tokens(s);
}

static void enter(TextScan *s, int32_t shape) {
    uint64_t slot = s->shapes[shape].hash;
    while (s->slots[slot & (uint64_t)(s->n_slots - 1)]) slot++;
    s->slots[slot & (uint64_t)(s->n_slots - 1)] = shape + 1;
}

/* Makes room for one more shape, with so many pieces. */
static int has_room_for_shape(TextScan *s, int64_t pieces) {
    while (s->n_pieces + pieces > s->room_for_pieces) {
        int64_t room = s->room_for_pieces ? 2 * s->room_for_pieces : 256;
        if (!GROW(s->pieces, room)) return 0;
        s->room_for_pieces = room;
    }
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

/* Adds a token to the line that is read, which is not counted yet. */
static inline void put(TextScan *s, TextLine *line, const char *begin, const char *end, double value, uint8_t kind) {
    int32_t i = line->count++;
    s->begins[i] = (uint32_t)(begin - s->text), s->ends[i] = (uint32_t)(end - s->text);
    s->values[s->n_tokens + i] = value, s->kinds[s->n_tokens + i] = kind;
}

/* The text before the token `i` of the line that is read, or behind its last token. */
static const char *piece(const TextScan *s, const TextLine *line, int32_t i, size_t *length) {
    const char *begin = i ? s->text + s->ends[i - 1] : line->begin;
    const char *end = i < line->count ? s->text + s->begins[i] : line->end;
    *length = (size_t)(end - begin);
    return begin;
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

static int is_of_shape(const TextScan *s, const TextLine *line, const TextShape *shape) {
    if (line->count != shape->count) return 0;
    for (int32_t i = 0; i <= line->count; i++) {
        size_t length;
        const char *p = piece(s, line, i, &length);
        const Piece *known = &s->pieces[shape->pieces + i];
        if (length != known->length || memcmp(p, s->text + known->begin, length) != 0) return 0;
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
    return holds_without_numbers(line->begin, line->end);
}

/* Keeps the pieces of the first line of a shape; there is room for them. */
static void keep_pieces(TextScan *s, const TextLine *line) {
    for (int32_t i = 0; i <= line->count; i++) {
        size_t length;
        const char *p = piece(s, line, i, &length);
        Piece *kept = &s->pieces[s->n_pieces++];
        *kept = (Piece){.begin = (uint32_t)(p - s->text), .length = (uint32_t)length};
        kept->joins = length ? is_word_char(p[length - 1]) : i > 0;
        memcpy(kept->words, p, length < sizeof kept->words ? length : sizeof kept->words);
    }
}

/* Returns the shape of the line that was read, perhaps a new one; NO_SHAPE without memory. */
static int32_t shape_of(TextScan *s, const TextLine *line, int64_t number) {
    uint64_t hash = hash_of(s, line);
    for (uint64_t slot = hash; s->n_slots; slot++) {
        int32_t found = s->slots[slot & (uint64_t)(s->n_slots - 1)] - 1;
        if (found < 0) break;
        if (s->shapes[found].hash == hash && is_of_shape(s, line, &s->shapes[found])) return found;
    }
    if (!has_room_for_shape(s, line->count + 1)) return NO_SHAPE;
    s->shapes[s->n_shapes] = (TextShape){
        .hash = hash, .number = number, .pieces = s->n_pieces, .begin = (uint32_t)(line->begin - s->text),
        .end = (uint32_t)(line->end - s->text), .count = line->count, .next = NO_SHAPE, .other = NO_SHAPE,
        .is_safe = is_safe(s, line), .is_row = is_row_by_text(s, line)};
    keep_pieces(s, line);
    enter(s, s->n_shapes);
    return s->n_shapes++;
}

/* Whether a piece is at `p`, where READABLE bytes are. */
static inline int is_piece_at(const TextScan *s, const Piece *known, const char *p) {
    uint32_t length = known->length;
    if (length > sizeof known->words) return s->end - p >= length && memcmp(p, s->text + known->begin, length) == 0;
    uint64_t differs = (eight_bytes(p) ^ known->words[0]) & FIRST_BYTES[length];
    return (differs | ((eight_bytes(p + 8) ^ known->words[1]) & FIRST_BYTES[length > 8 ? length - 8 : 0])) == 0;
}

/* Reads a token that is at `p`; returns 0 where there is none. */
static inline int read_at(TextScan *s, const TextLine *line, const char *p, int joins, Token *token) {
    token->is_infinite = 0, token->kind = NUMBER;
    if (!joins && (token->end = quick_number(p, &token->value)) != NULL) return 1;
    token->kind = DATE;
    if ((token->end = quick_time(&s->minute, p, s->end, &token->value)) != NULL) return 1;
    if (!read_token(line->begin, p, s->end, token)) return 0;
    if (token->kind == DATE) keep_minute(&s->minute, p, s->end, token);
    return 1;
}

/* Returns the position behind a token. Where its length is the usual one, the processor need not wait until it is known. */
static inline const char *behind_usual(Piece *before, const char *p, const char *behind) {
    uint32_t length = (uint32_t)(behind - p), usual = before->usual;
    if (length != usual) return before->usual = length, behind;
    __asm__("" : "+r"(usual)); /* else compilers see that both ways are the same */
    return p + usual;
}

/* Reads the tokens of a line as those of a shape, up to the first difference; returns the position behind the last piece, NULL
 * where there was one. Infinite numbers alone are no reason to read a line. */
static inline const char *read_pieces(TextScan *s, const TextShape *known, TextLine *line) {
    Piece *pieces = s->pieces + known->pieces;
    double *values = s->values + s->n_tokens;
    uint8_t *kinds = s->kinds + s->n_tokens;
    const char *p = line->begin;
    int32_t i = 0, finite = 0;
    for (;; i++) {
        if (s->end - p < 2 * READABLE || !is_piece_at(s, &pieces[i], p)) break;
        p += pieces[i].length;
        if (i == known->count) return line->count = i, line->finite = finite, p;
        Token token;
        if (s->end - p < READABLE || !read_at(s, line, p, pieces[i].joins, &token)) break;
        values[i] = token.value, kinds[i] = token.kind;
        finite |= !token.is_infinite;
        p = behind_usual(&pieces[i], p, token.end);
        s->ends[i] = (uint32_t)(p - s->text);
    }
    line->count = i, line->finite = finite;
    return NULL;
}

/* Reads a line as one of this shape; returns whether it is. If not, the tokens that it shares with the shape were read. */
static int has_shape(TextScan *s, int32_t shape, TextLine *line) {
    if (shape == NO_SHAPE || !s->shapes[shape].is_safe) return line->count = line->finite = 0;
    const TextShape *known = &s->shapes[shape];
    line->end = read_pieces(s, known, line);
    if (line->end && line->end < s->end && *line->end == '\n' && line->end - line->begin <= LONGEST_LINE && (line->finite || known->is_row))
        return 1;
    uint32_t at = (uint32_t)(line->begin - s->text);
    for (int32_t i = 0; i < line->count; i++) s->begins[i] = at + s->pieces[known->pieces + i].length, at = s->ends[i];
    return 0;
}

/* Reads the rest of a line behind its tokens so far; returns whether it may hold a value. */
static int read_line(TextScan *s, TextLine *line) {
    if (!line->finite) line->count = 0; /* its digits that are no tokens count too */
    int values = line->finite;
    for (const char *p = line->count ? s->text + s->ends[line->count - 1] : line->begin; p < line->end;) {
        Token token;
        if (!may_begin_token(*p)) {
            p++;
        } else if (!read_token(line->begin, p, line->end, &token)) {
            values |= is_digit(*p) || is_word_at(p, line->end, "nan");
            p++;
        } else {
            if (line->count == MOST_TOKENS) return 0;
            values |= !token.is_infinite;
            put(s, line, p, token.end, token.value, token.kind);
            p = token.end;
        }
    }
    return values || holds_without_numbers(line->begin, line->end);
}

/* Whether a line is the last one that held no value. */
static int is_left(const TextScan *s, const TextLine *line) {
    size_t length = (size_t)(line->end - line->begin);
    return length == 0 || (length == s->left_length && memcmp(line->begin, s->left, length) == 0);
}

/* Counts the line that was read. */
static int add_line(TextScan *s, const TextLine *line, int32_t shape, int64_t number) {
    int64_t i = s->n_lines++;
    s->numbers[i] = number, s->firsts[i] = s->n_tokens, s->line_shapes[i] = shape;
    s->line_begins[i] = (uint32_t)(line->begin - s->text);
    s->n_tokens += line->count;
    s->shapes[shape].lines++;
    TextShape *before = s->last == NO_SHAPE ? NULL : &s->shapes[s->last];
    if (before && before->next != shape) before->other = before->next, before->next = shape;
    s->last = shape;
    return 1;
}

/* Takes the line at `*at`, which is then behind it; returns 0 without memory. */
static int take_line(TextScan *s, const char **at, int64_t number) {
    TextLine line = {.begin = *at};
    if (!has_room(s)) return 0;
    if (s->last != NO_SHAPE) {
        int32_t next = s->shapes[s->last].next, other = s->shapes[s->last].other;
        int32_t shape = has_shape(s, next, &line) ? next : other != NO_SHAPE && has_shape(s, other, &line) ? other : NO_SHAPE;
        if (shape != NO_SHAPE) return *at = line.end + 1, add_line(s, &line, shape, number);
    }
    const char *newline = memchr(line.begin, '\n', (size_t)(s->end - line.begin));
    line.end = newline ? newline : s->end;
    *at = newline ? newline + 1 : s->end;
    if (line.end - line.begin > LONGEST_LINE || is_left(s, &line)) return 1;
    if (!read_line(s, &line)) return s->left = line.begin, s->left_length = (size_t)(line.end - line.begin), 1;
    int32_t shape = shape_of(s, &line, number);
    return shape != NO_SHAPE && add_line(s, &line, shape, number);
}

/* ------------------------------------------------------------------ the interface */

PUBLIC TextScan *scan_new(void) { return calloc(1, sizeof(TextScan)); }

PUBLIC void scan_free(TextScan *s) {
    if (s == NULL) return;
    free(s->numbers), free(s->firsts), free(s->line_begins), free(s->line_shapes);
    free(s->values), free(s->kinds), free(s->shapes), free(s->pieces), free(s->slots);
    free(s);
}

/* Scans a text of less than 4 GB, in UTF-8, which must stay where it is. Returns how many lines may hold a value; NO_MEMORY;
 * FOREIGN_DIGITS where the text has digits beyond ASCII, which are for Python. A scan is for one text. */
PUBLIC int64_t scan_text(TextScan *s, const char *text, int64_t length) {
    s->text = text, s->end = text + length, s->last = NO_SHAPE;
    if (has_foreign_digits(text, s->end)) return FOREIGN_DIGITS;
    s->room_for_lines = length / 64 + 1024, s->room_for_tokens = length / 8 + 2 * MOST_TOKENS; /* of most texts: else it grows */
    if (!has_room_for_lines(s) || !has_room_for_tokens(s)) return NO_MEMORY;
    const char *p = text;
    for (; p < s->end; s->n_ends++)
        if (!take_line(s, &p, s->n_ends)) return NO_MEMORY;
    if (length && s->end[-1] != '\n') s->n_ends--;
    return s->n_lines;
}

PUBLIC int32_t scan_shapes(const TextScan *s) { return s->n_shapes; }
PUBLIC int64_t scan_ends(const TextScan *s) { return s->n_ends; }

/* Copies the lines: number, first token and shape of each. */
PUBLIC void scan_copy_lines(const TextScan *s, int64_t *numbers, int64_t *firsts, int32_t *shapes) {
    if (s->n_lines == 0) return;
    memcpy(numbers, s->numbers, (size_t)s->n_lines * sizeof *numbers);
    memcpy(firsts, s->firsts, (size_t)s->n_lines * sizeof *firsts);
    memcpy(shapes, s->line_shapes, (size_t)s->n_lines * sizeof *shapes);
}

/* Copies the shapes: number of the first line of each, its bytes, its tokens; and how many lines have the shape. */
PUBLIC void scan_copy_shapes(const TextScan *s, int64_t *numbers, uint32_t *begins, uint32_t *ends, int32_t *tokens, int64_t *counts) {
    for (int32_t i = 0; i < s->n_shapes; i++) {
        const TextShape *shape = &s->shapes[i];
        numbers[i] = shape->number, begins[i] = shape->begin, ends[i] = shape->end;
        tokens[i] = shape->count, counts[i] = shape->lines;
    }
}

/* Copies some tokens of each of so many lines, which begin with the tokens `firsts`: those of one place after those of another.
 * `kinds` are then the kinds at each place as bits. Returns 0 where a token does not exist. */
PUBLIC int32_t scan_copy_values(
    const TextScan *s, const int64_t *firsts, int64_t lines, const int64_t *places, int64_t n_places, double *values, int32_t *kinds) {
    int64_t last = 0;
    for (int64_t j = 0; j < n_places; j++) {
        if (places[j] < 0) return 0;
        last = places[j] > last ? places[j] : last;
    }
    for (int64_t i = 0; n_places && i < lines; i++) {
        if (firsts[i] < 0 || firsts[i] >= s->n_tokens - last) return 0;
        for (int64_t j = 0; j < n_places; j++) {
            values[j * lines + i] = s->values[firsts[i] + places[j]];
            kinds[j] |= 1 << s->kinds[firsts[i] + places[j]];
        }
    }
    return 1;
}

/* The last line that begins with this token or before it. */
static int64_t line_of(const TextScan *s, int64_t token) {
    int64_t low = 0, high = s->n_lines;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (s->firsts[middle] <= token) low = middle;
        else high = middle;
    }
    return low;
}

/* Copies the bytes of the token at a place of each of so many lines, which are read once more; returns 0 where it does not exist. */
PUBLIC int32_t scan_copy_places(TextScan *s, const int64_t *firsts, int64_t count, int64_t place, uint32_t *begins, uint32_t *ends) {
    if (place < 0 || !has_room(s)) return 0;
    for (int64_t i = 0; i < count; i++) {
        if (firsts[i] < 0 || firsts[i] >= s->n_tokens) return 0;
        TextLine line = {.begin = s->text + s->line_begins[line_of(s, firsts[i])]};
        const char *newline = memchr(line.begin, '\n', (size_t)(s->end - line.begin));
        line.end = newline ? newline : s->end;
        read_line(s, &line);
        if (place >= line.count) return 0;
        begins[i] = s->begins[place], ends[i] = s->ends[place];
    }
    return 1;
}

/* Whether a text is ASCII without control characters, except tabs and ends of lines. */
PUBLIC int32_t text_is_clean(const char *text, int64_t length) {
    uint8_t odd = 0; /* as wide as a character, so that compilers take many at once */
    for (int64_t i = 0; i < length; i++) odd |= (uint8_t)(((int8_t)text[i] < ' ') & (text[i] != '\n') & (text[i] != '\t'));
    return !odd;
}
