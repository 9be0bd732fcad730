/* Parses step-per-line JSON into columns.
 *
 * It parses only rows that match a strict grammar: flat objects of numbers (NaN and Infinity included), of times in ISO 8601
 * and of words, each key once, an integer as step; null, true and false are only counted. A column holds one kind of values:
 * numbers, times as microseconds since 1970, or words as their places in a list of few. Any other line is a doubt, which is
 * left to Python: only Python decides the meaning of an unusual line, and of a word.
 *
 * Rows of many files go into one Table. `table_begin` starts a file, `table_read` reads its lines, `table_keep` keeps its rows;
 * `table_take` returns a column as an array of Arrow's C data interface. No byte at or beyond the end of a text is read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decimals.h"
#include "texts.h"

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

/* ------------------------------------------------------------------ columns */

enum { NUMBERS = 0, TIMES = 1, WORDS = 2, OTHERS = 3 }; /* kinds of values; OTHERS are null, true and false */

typedef struct {
    char *token; /* the key as it was first written, with quotes, colon and blanks: `"loss": ` */
    size_t token_length, name_length;
    uint32_t hash;
    int32_t next;     /* the column whose key followed this one last time */
    uint64_t seen;    /* the last row that has this key */
    double *values;   /* of the first `filled` rows; 0 where a value is missing */
    uint8_t *present; /* a bit for each row */
    int64_t filled, count;
    int64_t others; /* null, true and false in the current file */
    int64_t kept;   /* values in the files before the current one */
    int32_t kind;   /* of the values, if there are any */
    WordList words;
} Column;

typedef struct {
    int32_t column;
    int32_t kind;
    double value;
} Cell;

typedef struct {
    Column *columns; /* the first is the axis; its values are `steps` */
    int32_t n_columns, room_for_columns;
    int32_t first;  /* the first column of the last row */
    int32_t *slots; /* by hash, a column + 1; at most half of them are used */
    uint32_t n_slots;
    int64_t *steps;
    uint32_t *files, *places;
    int64_t rows, room, values, most_cells;
    int64_t others; /* of all columns, in the current file */
    Cell *cells; /* of the current row */
    int32_t n_cells;
    uint64_t seen;
    uint32_t file;
    int64_t kept_rows; /* of the files before the current one */
    int32_t kept_columns;
    int32_t is_full; /* a row of the current file would have needed too many cells */
} Table;

typedef struct {
    int64_t begin, end, number; /* bytes of the line without its newline; its number from 0 */
} Line;

enum { AXIS = 0, NONE = -1, FILES = -1, PLACES = -2 };
enum { FIRST_ROOM = 64, FEW_CELLS = 1 << 22, SPARSEST = 16 };

#define GROW(pointer, count) replaced(&(pointer), realloc((pointer), (size_t)(count) * sizeof *(pointer)))

static int replaced(void *pointer, void *grown) {
    if (grown) memcpy(pointer, &grown, sizeof grown);
    return grown != NULL;
}

static int make_rows(Column *column, int64_t old, int64_t room) {
    if (!GROW(column->values, room) || !GROW(column->present, room / 8)) return 0;
    memset(column->present + old / 8, 0, (size_t)(room - old) / 8);
    return 1;
}

/* Columns need memory even for empty cells. */
static int is_worth_it(Table *t, int64_t rows, int32_t columns) {
    int64_t cells = rows * columns;
    int worth = cells <= t->most_cells && (cells <= FEW_CELLS || cells <= SPARSEST * t->values);
    t->is_full |= !worth;
    return worth;
}

static int has_room(Table *t) {
    if (t->rows < t->room) return 1;
    int64_t room = t->room ? 2 * t->room : FIRST_ROOM;
    if (!is_worth_it(t, room, t->n_columns)) return 0;
    for (int32_t i = AXIS + 1; i < t->n_columns; i++)
        if (!make_rows(&t->columns[i], t->room, room)) return 0;
    if (!GROW(t->steps, room) || !GROW(t->files, room) || !GROW(t->places, room)) return 0;
    t->room = room;
    return 1;
}

static uint32_t hash_of(const char *name, size_t length) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash;
}

static void enter(Table *t, int32_t column) {
    uint32_t slot = t->columns[column].hash;
    while (t->slots[slot & (t->n_slots - 1)]) slot++;
    t->slots[slot & (t->n_slots - 1)] = column + 1;
}

static void enter_all(Table *t) {
    memset(t->slots, 0, t->n_slots * sizeof(int32_t));
    for (int32_t i = 0; i < t->n_columns; i++) enter(t, i);
}

static int32_t find(const Table *t, const char *name, size_t length, uint32_t hash) {
    for (uint32_t slot = hash;; slot++) {
        int32_t column = t->slots[slot & (t->n_slots - 1)] - 1;
        if (column == NONE) return NONE;
        const Column *c = &t->columns[column];
        if (c->hash == hash && c->name_length == length && memcmp(c->token + 1, name, length) == 0) return column;
    }
}

static int has_room_for_column(Table *t) {
    if (t->n_columns < t->room_for_columns) return 1;
    int32_t room = t->room_for_columns ? 2 * t->room_for_columns : 16;
    if (!GROW(t->columns, room) || !GROW(t->cells, room) || !GROW(t->slots, 2 * room)) return 0;
    t->room_for_columns = room, t->n_slots = 2 * (uint32_t)room;
    enter_all(t);
    return 1;
}

static int32_t add_column(Table *t, const char *token, size_t token_length, size_t name_length) {
    if (!is_worth_it(t, t->room, t->n_columns + 1) || !has_room_for_column(t)) return NONE;
    Column c = {.token_length = token_length, .name_length = name_length, .next = NONE};
    c.hash = hash_of(token + 1, name_length);
    c.token = malloc(token_length);
    if (!c.token || (t->room && !make_rows(&c, 0, t->room))) {
        free(c.token), free(c.values), free(c.present);
        return NONE;
    }
    memcpy(c.token, token, token_length);
    t->columns[t->n_columns] = c;
    enter(t, t->n_columns);
    return t->n_columns++;
}

/* Removes the newest columns. */
static void keep_columns(Table *t, int32_t count) {
    if (count == t->n_columns) return;
    for (int32_t i = count; i < t->n_columns; i++) {
        free_words(&t->columns[i].words);
        free(t->columns[i].token), free(t->columns[i].values), free(t->columns[i].present);
    }
    t->n_columns = count;
    enter_all(t);
}

static void put(Table *t, const Cell *cell) {
    Column *column = &t->columns[cell->column];
    int64_t row = t->rows;
    if (cell->kind == OTHERS) {
        column->others++, t->others++;
        return;
    }
    column->kind = cell->kind;
    if (column->filled < row) memset(column->values + column->filled, 0, (size_t)(row - column->filled) * sizeof(double));
    column->values[row] = cell->value;
    column->present[row / 8] |= (uint8_t)(1 << row % 8);
    column->filled = row + 1;
    column->count++, t->values++;
}

static void take_back(Table *t, Column *column, int64_t rows) {
    for (; column->filled > rows; column->filled--) {
        int64_t row = column->filled - 1;
        int there = column->present[row / 8] >> row % 8 & 1;
        column->count -= there, t->values -= there;
        column->present[row / 8] &= (uint8_t)~(1 << row % 8);
    }
}

/* ------------------------------------------------------------------ rows */

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* Returns the column, perhaps new, of a key and its colon; `*at` is then at the value. `guess` is the likely column. */
static int32_t read_key(Table *t, const char **at, const char *end, int32_t guess) {
    const char *token = *at;
    if (guess >= 0 && guess < t->n_columns) {
        const Column *c = &t->columns[guess];
        if ((size_t)(end - token) >= c->token_length && memcmp(token, c->token, c->token_length) == 0) {
            *at = skip_blanks(token + c->token_length, end);
            return guess;
        }
    }
    const char *p = token;
    if (p == end || *p != '"') return NONE;
    for (p++; p < end && *p != '"'; p++)
        if ((uint8_t)*p < ' ' || *p == '\\') return NONE;
    size_t length = (size_t)(p - token - 1);
    p = p < end ? skip_blanks(p + 1, end) : end;
    if (p == end || *p != ':') return NONE;
    *at = skip_blanks(p + 1, end);
    int32_t known = find(t, token + 1, length, hash_of(token + 1, length));
    return known != NONE ? known : add_column(t, token, (size_t)(*at - token), length);
}

/* Reads null, true or false; returns the position after it, NULL for anything else. */
static const char *read_other(const char *p, const char *end) {
    if (end - p >= 4 && (memcmp(p, "null", 4) == 0 || memcmp(p, "true", 4) == 0)) return p + 4;
    return end - p >= 5 && memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
}

/* Reads a text: a time or a word. Returns the position after it, NULL if its meaning is for Python to decide. */
static const char *read_text(const char *p, const char *end, Column *column, Cell *cell) {
    const char *begin = ++p;
    p = read_time(begin, end, &cell->value);
    if (p != NULL) return cell->kind = TIMES, p;
    if ((p = read_word_text(begin, end)) == NULL) return NULL;
    int32_t place = place_of_word(&column->words, begin, (size_t)(p - begin));
    cell->kind = WORDS, cell->value = place;
    return place < 0 ? NULL : p + 1;
}

/* Reads a value; a column holds one kind of values only. */
static const char *read_value(const char *p, const char *end, Column *column, Cell *cell) {
    if (p == end) return NULL;
    if (*p == 'n' || *p == 't' || *p == 'f') return cell->kind = OTHERS, read_other(p, end);
    if (*p == '"') p = read_text(p, end, column, cell);
    else cell->kind = NUMBERS, p = read_number(p, end, &cell->value);
    return column->count && column->kind != cell->kind ? NULL : p;
}

static int32_t *next_of(Table *t, int32_t column) { return column == NONE ? &t->first : &t->columns[column].next; }

/* Reads "key": value into a cell or the step of the row. Returns the position after it, NULL if it cannot be parsed here. */
static const char *read_cell(Table *t, const char *p, const char *end, int32_t *column, int64_t *step) {
    int32_t previous = *column;
    *column = read_key(t, &p, end, *next_of(t, previous));
    if (*column == NONE || t->columns[*column].seen == t->seen) return NULL;
    *next_of(t, previous) = *column;
    t->columns[*column].seen = t->seen;
    if (*column == AXIS) return read_step(p, end, step);
    Cell *cell = &t->cells[t->n_cells++];
    cell->column = *column;
    return read_value(p, end, &t->columns[*column], cell);
}

/* Reads one object with its newline into cells; NULL if it cannot be parsed here. */
static const char *read_cells(Table *t, const char *p, const char *end, int64_t *step) {
    int32_t column = NONE;
    t->seen++, t->n_cells = 0;
    p = skip_blanks(p, end);
    if (p == end || *p != '{') return NULL;
    do {
        p = read_cell(t, skip_blanks(p + 1, end), end, &column, step);
        if (p == NULL || (p = skip_blanks(p, end)) == end) return NULL;
    } while (*p == ',');
    if (*p != '}' || t->columns[AXIS].seen != t->seen) return NULL;
    p = skip_blanks(p + 1, end);
    return p < end && *p == '\n' ? p + 1 : NULL;
}

/* Reads one line into the table; NULL, without any change, if it cannot be parsed here. */
static const char *read_row(Table *t, const char *p, const char *end) {
    int32_t columns = t->n_columns;
    int64_t step = 0;
    p = read_cells(t, p, end, &step);
    if (p == NULL || !has_room(t)) {
        keep_columns(t, columns);
        return NULL;
    }
    for (int32_t i = 0; i < t->n_cells; i++) put(t, &t->cells[i]);
    t->steps[t->rows] = step;
    t->files[t->rows] = t->file;
    t->places[t->rows] = (uint32_t)(t->rows - t->kept_rows);
    t->rows++;
    return p;
}

/* ------------------------------------------------------------------ for Python */

PUBLIC int32_t table_version(void) { return 8; }

PUBLIC void table_free(Table *t) {
    if (t == NULL) return;
    keep_columns(t, 0);
    free(t->columns), free(t->cells), free(t->slots), free(t->steps), free(t->files), free(t->places), free(t);
}

/* Keeps the rows of the current file. */
PUBLIC void table_keep(Table *t) {
    t->kept_rows = t->rows, t->kept_columns = t->n_columns;
    for (int32_t i = AXIS + 1; i < t->n_columns; i++) t->columns[i].kept = t->columns[i].count;
}

/* Creates a table with the key `axis` as step and at most this many cells, empty ones included. */
PUBLIC Table *table_new(const char *axis, int64_t length, int64_t most_cells) {
    Table *t = calloc(1, sizeof(Table));
    if (t == NULL) return NULL;
    t->first = NONE, t->most_cells = most_cells;
    char *token = malloc((size_t)length + 3);
    if (token) {
        token[0] = '"', memcpy(token + 1, axis, (size_t)length), memcpy(token + 1 + length, "\":", 2);
        add_column(t, token, (size_t)length + 3, (size_t)length);
        free(token);
    }
    if (t->n_columns == 1) return table_keep(t), t;
    table_free(t);
    return NULL;
}

/* Starts a file. The rows of a file that was not kept are dropped. */
PUBLIC void table_begin(Table *t, uint32_t file) {
    for (int32_t i = AXIS + 1; i < t->n_columns; i++) {
        take_back(t, &t->columns[i], t->kept_rows);
        t->columns[i].others = 0;
    }
    t->others = 0;
    keep_columns(t, t->kept_columns);
    t->rows = t->kept_rows;
    t->file = file, t->is_full = 0;
}

/* Reads the whole lines of a text and sets their bytes and number. `doubts` are the lines that cannot be parsed here; returns
 * their number, -1 if there are more than `most`. */
PUBLIC int64_t table_read(Table *t, const char *text, int64_t length, int64_t *bytes, int64_t *lines, Line *doubts, int64_t most) {
    const char *p = text, *end = text + length;
    int64_t found = 0;
    for (*lines = 0; p < end; ++*lines) {
        const char *next = read_row(t, p, end);
        if (next == NULL) {
            const char *newline = memchr(p, '\n', (size_t)(end - p));
            if (newline == NULL) break;
            if (found == most) return -1;
            doubts[found++] = (Line){p - text, newline - text, *lines};
            next = newline + 1;
        }
        p = next;
    }
    *bytes = p - text;
    return found;
}

PUBLIC int64_t table_rows(const Table *t) { return t->rows; }
PUBLIC int32_t table_columns(const Table *t) { return t->n_columns; }
PUBLIC int32_t table_is_full(const Table *t) { return t->is_full; }
/* Returns how often a key of the current file had null, true or false; for the axis: any key. */
PUBLIC int64_t table_others(const Table *t, int32_t column) { return column == AXIS ? t->others : t->columns[column].others; }

/* Returns the kind of a column's values, -1 if it has none. */
PUBLIC int32_t table_kind(const Table *t, int32_t column) { return t->columns[column].count ? t->columns[column].kind : -1; }
/* Returns how many values of a column are in the current file. */
PUBLIC int64_t table_values(const Table *t, int32_t column) { return t->columns[column].count - t->columns[column].kept; }
/* Returns how many words a column has; some may be of files that were not kept. */
PUBLIC int32_t table_words(const Table *t, int32_t column) { return t->columns[column].words.count; }
PUBLIC const char *table_word(const Table *t, int32_t column, int32_t place, int64_t *length) {
    *length = (int64_t)t->columns[column].words.words[place].length;
    return t->columns[column].words.words[place].text;
}

PUBLIC const char *table_key(const Table *t, int32_t column, int64_t *length) {
    *length = (int64_t)t->columns[column].name_length;
    return t->columns[column].token + 1;
}

/* ------------------------------------------------------------------ Arrow's C data interface */

typedef struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
} ArrowSchema;

typedef struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
} ArrowArray;

static void release_schema(ArrowSchema *schema) { schema->release = NULL; }

static void release_array(ArrowArray *array) {
    free((void *)array->buffers[0]), free((void *)array->buffers[1]), free((void *)array->buffers);
    array->release = NULL;
}

/* Passes on memory of the table: numbers of one format, and validity bits if some are missing. */
static int hand_over(const Table *t, const char *format, void *numbers, uint8_t *present, int64_t missing, ArrowSchema *schema,
                     ArrowArray *array) {
    const void **buffers = calloc(2, sizeof(void *));
    if (buffers == NULL) return 0;
    buffers[0] = present, buffers[1] = numbers;
    *schema = (ArrowSchema){.format = format, .name = "", .flags = 2 /* nullable */, .release = release_schema};
    *array = (ArrowArray){.length = t->rows, .null_count = missing, .n_buffers = 2, .buffers = buffers, .release = release_array};
    return 1;
}

static int take_values(const Table *t, Column *column, ArrowSchema *schema, ArrowArray *array) {
    int64_t missing = t->rows - column->count;
    memset(column->values + column->filled, 0, (size_t)(t->rows - column->filled) * sizeof(double));
    if (!hand_over(t, "g", column->values, missing ? column->present : NULL, missing, schema, array)) return 0;
    if (!missing) free(column->present);
    column->values = NULL, column->present = NULL;
    return 1;
}

/* Moves a column into an Arrow array, which then owns it: of a key, of the axis (0), of the rows' files (-1) or of their
 * numbers in these (-2). The table then only has the other columns. Returns 0 without memory. */
PUBLIC int32_t table_take(Table *t, int32_t column, ArrowSchema *schema, ArrowArray *array) {
    if (column > AXIS) return take_values(t, &t->columns[column], schema, array);
    void *numbers = column == AXIS ? (void *)t->steps : column == FILES ? t->files : t->places;
    if (!hand_over(t, column == AXIS ? "l" : "I", numbers, NULL, 0, schema, array)) return 0;
    if (column == AXIS) t->steps = NULL;
    else if (column == FILES) t->files = NULL;
    else t->places = NULL;
    return 1;
}
