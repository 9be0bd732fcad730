/* Days of the calendar. */
#ifndef SWEEPLENS_CALENDAR_H
#define SWEEPLENS_CALENDAR_H

#include <stdint.h>

/* Days since 1970-01-01 in the Gregorian calendar. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013). */
static inline int64_t days_from_civil(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline int is_date(int64_t year, int64_t month, int64_t day) {
    static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1) return 0;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lengths[month - 1] + (leap && month == 2);
}

#endif
