/* SPDX-License-Identifier: MIT */
/* The histogram of <spate/histogram.h>: its precision, and the file that the plotter reads. */

#include "test/support/qt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/histogram/percentiles.h"

static struct spate_histogram histogram;

static int reset(void **state)
{
    (void)state;
    spate_histogram_init(&histogram);
    return 0;
}

static void an_empty_histogram_has_zero_percentiles(void **state)
{
    (void)state;
    assert_int_equal(spate_histogram_percentile(&histogram, 0), 0);
    assert_int_equal(spate_histogram_percentile(&histogram, 50), 0);
    assert_int_equal(spate_histogram_percentile(&histogram, 100), 0);
}

static void values_below_256_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 256; value++) {
        spate_histogram_init(&histogram);
        spate_histogram_record(&histogram, value);
        spate_histogram_record(&histogram, 100000); /* so that the maximum does not help */
        assert_int_equal(spate_histogram_percentile(&histogram, 50), value);
    }
}

static void a_percentile_is_within_one_percent_above_the_value(void **state)
{
    (void)state;
    for (double x = 1; x < 4e12; x *= 1.0137) {
        uint64_t value = (uint64_t)x;
        spate_histogram_init(&histogram);
        spate_histogram_record(&histogram, value);
        spate_histogram_record(&histogram, SPATE_HISTOGRAM_VALUE_MAX);
        uint64_t p = spate_histogram_percentile(&histogram, 50);
        assert_true(p >= value);
        assert_true((double)(p - value) <= (double)value * 0.01);
    }
}

static void both_edges_of_each_octave_have_buckets_of_their_own(void **state)
{
    (void)state;
    for (uint32_t bits = 1; bits < SPATE_HISTOGRAM_VALUE_BITS; bits++) {
        uint64_t power = UINT64_C(1) << bits;
        spate_histogram_init(&histogram);
        spate_histogram_record(&histogram, power - 1);
        spate_histogram_record(&histogram, power);
        spate_histogram_record(&histogram, SPATE_HISTOGRAM_VALUE_MAX);
        assert_int_equal(spate_histogram_percentile(&histogram, 33), power - 1);
        assert_true(spate_histogram_percentile(&histogram, 66) >= power);
        assert_int_equal(histogram.min, power - 1);
    }
}

static void the_maximum_is_exact_and_too_large_values_are_clamped(void **state)
{
    (void)state;
    spate_histogram_record(&histogram, 1234567891);
    assert_int_equal(spate_histogram_percentile(&histogram, 100), 1234567891);
    spate_histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(spate_histogram_percentile(&histogram, 100), SPATE_HISTOGRAM_VALUE_MAX);
    assert_int_equal(histogram.count, 2);
}

static void percentiles_count_ranks_as_defined(void **state)
{
    static const struct {
        double percentile;
        uint64_t value;
    } samples[] = {
        {0, 1}, {1, 1}, {1.5, 2}, {50, 50}, {90, 90}, {99, 99}, {99.5, 100}, {100, 100},
    };
    (void)state;
    for (uint64_t value = 1; value <= 100; value++)
        spate_histogram_record(&histogram, value);
    for (size_t i = 0; i < QT_COUNT(samples); i++)
        assert_int_equal(spate_histogram_percentile(&histogram, samples[i].percentile),
                         samples[i].value);
}

static void percentiles_never_fall(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 10000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        spate_histogram_record(&histogram, x % (UINT64_C(1) << (x % 40 + 1)));
    }
    uint64_t last = 0;
    for (double p = 0; p <= 100; p += 0.01) {
        uint64_t value = spate_histogram_percentile(&histogram, p);
        assert_true(value >= last);
        last = value;
    }
    assert_true(last <= histogram.max);
}

/* Reads the file back as the plotter does: data lines begin with a number. */
static void what_came_since_an_earlier_state_is_a_histogram(void **state)
{
    (void)state;
    static struct spate_histogram before;
    static struct spate_histogram since;
    spate_histogram_record_many(&histogram, 7, 100);
    spate_histogram_record(&histogram, 1000000);
    before = histogram;
    spate_histogram_since(&histogram, &before, &since);
    assert_int_equal(since.count, 0);
    assert_int_equal(spate_histogram_percentile(&since, 99), 0);

    spate_histogram_record_many(&histogram, 100, 99);
    spate_histogram_record(&histogram, 0);
    spate_histogram_since(&histogram, &before, &since);
    assert_int_equal(since.count, 100);
    assert_int_equal(since.sum, 9900);
    assert_int_equal(since.min, 0);
    assert_int_equal(since.max, 100);
    assert_int_equal(spate_histogram_percentile(&since, 50), 100);
}

static void the_percentile_file_has_the_plotters_format(void **state)
{
    (void)state;
    for (uint64_t value = 1000; value <= 1000000; value += 1000)
        spate_histogram_record(&histogram, value);

    char *text = NULL;
    size_t text_size = 0;
    FILE *file = open_memstream(&text, &text_size);
    assert_non_null(file);
    histogram_write_percentiles(&histogram, 1e3, file);
    assert_int_equal(fclose(file), 0);

    static const char head[] = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n";
    assert_memory_equal(text, head, sizeof(head) - 1);
    double last_value = 0;
    double last_percentile = -1;
    unsigned long long last_count = 0;
    uint32_t lines = 0;
    char *rest = text + sizeof(head) - 1;
    for (char *line = strtok(rest, "\n"); line != NULL && line[0] != '#';
         line = strtok(NULL, "\n"), lines++) {
        double value = 0;
        double percentile = 0;
        double inverse = 0;
        unsigned long long count = 0;
        int fields = sscanf(line, "%lf %lf %llu %lf", &value, &percentile, &count, &inverse);
        assert_true(value >= last_value);
        assert_true(percentile > last_percentile);
        assert_true(count >= last_count);
        assert_true((double)count >= percentile * 1000 - 1e-6);
        if (fields == 4)
            assert_true(fabs(inverse - 1 / (1 - percentile)) < 0.01);
        else
            assert_true(fields == 3 && percentile == 1.0);
        last_value = value;
        last_percentile = percentile;
        last_count = count;
    }
    assert_true(lines > 20);
    assert_true(last_percentile == 1.0);
    assert_int_equal(last_count, 1000);
    assert_true(last_value == 1000.0); /* microseconds */
    free(text);
}

static void the_file_of_an_empty_histogram_has_no_data_lines(void **state)
{
    (void)state;
    char *text = NULL;
    size_t text_size = 0;
    FILE *file = open_memstream(&text, &text_size);
    assert_non_null(file);
    histogram_write_percentiles(&histogram, 1e3, file);
    assert_int_equal(fclose(file), 0);
    assert_null(strstr(text, "1.000000000000"));
    assert_null(strstr(text, "nan"));
    assert_non_null(strstr(text, "#[Mean    =        0.000, StdDeviation   =        0.000]"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_histogram_has_zero_percentiles, reset),
        cmocka_unit_test_setup(values_below_256_are_exact, reset),
        cmocka_unit_test_setup(a_percentile_is_within_one_percent_above_the_value, reset),
        cmocka_unit_test_setup(both_edges_of_each_octave_have_buckets_of_their_own, reset),
        cmocka_unit_test_setup(the_maximum_is_exact_and_too_large_values_are_clamped, reset),
        cmocka_unit_test_setup(percentiles_count_ranks_as_defined, reset),
        cmocka_unit_test_setup(percentiles_never_fall, reset),
        cmocka_unit_test_setup(what_came_since_an_earlier_state_is_a_histogram, reset),
        cmocka_unit_test_setup(the_percentile_file_has_the_plotters_format, reset),
        cmocka_unit_test_setup(the_file_of_an_empty_histogram_has_no_data_lines, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
