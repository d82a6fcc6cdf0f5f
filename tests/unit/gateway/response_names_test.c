// SPDX-License-Identifier: Apache-2.0
/* Lists of names, values and label sets as servers send them, in pieces of any size. */
#include "tests/unit/gateway/responses.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct lists { struct responses t; struct label_list list; };

static int set_up(void **state)
{
    static struct lists l;
    responses_begin(&l.t);
    l.list = (struct label_list){.arena = &l.t.arena, .notes = &l.t.notes};
    *state = &l;
    return 0;
}

static int tear_down(void **state)
{
    responses_end(&((struct lists *)*state)->t);
    return 0;
}

/* The items, each with a blank behind it. */
static const char *shown(struct lists *l)
{
    struct buf text = {0};
    for (size_t i = 0; i < l->list.n_strings; i++)
        buf_printf(&text, "%.*s ", STR_ARG(l->list.strings[i]));
    for (size_t i = 0; i < l->list.n_labels; i++) {
        labels_print(&text, l->list.labels[i]);
        buf_add_char(&text, ' ');
    }
    const char *copy = arena_z(&l->t.arena, buf_str(&text));
    buf_free(&text);
    return copy;
}

typedef struct decoder *new_decoder(struct label_list *l);

static void check(struct lists *l, new_decoder *decoder, const char *text, const char *wanted)
{
    for (size_t piece = 1; piece < 40; piece += 3) {
        l->list.n_strings = l->list.n_labels = 0;
        if (!responses_feed(decoder(&l->list), str_of(text), piece, &l->t.err))
            fail_msg("%s: %s", text, l->t.err.text);
        assert_string_equal(shown(l), wanted);
    }
}

static void refuses(struct lists *l, new_decoder *decoder, const char *text, const char *why)
{
    for (size_t piece = 1; piece < 40; piece += 3) {
        l->t.err = (struct err){0};
        assert_false(responses_feed(decoder(&l->list), str_of(text), piece, &l->t.err));
        assert_int_equal(l->t.err.kind, ERR_BAD_GATEWAY);
        if (str_find_str(str_of(l->t.err.text), str_of(why)) == strlen(l->t.err.text))
            fail_msg("%s: \"%s\" is not in \"%s\"", text, why, l->t.err.text);
    }
}

static void strings(void **state)
{
    struct lists *l = *state;
    check(l, strings_decoder_new, "{\"status\":\"success\",\"data\":[\"a\",\"b\\u00e9\",\"\"]}", "a b\303\251  ");
    check(l, strings_decoder_new, "{\"data\":[\"a\"],\"new\":{\"x\":[1,{}]},\"status\":\"success\"} ", "a ");
    check(l, strings_decoder_new, "{\"status\":\"success\",\"data\":[]}", "");
    check(l, strings_decoder_new, "{\"status\":\"success\",\"data\":null}", "");
    check(l, strings_decoder_new, "{\"status\":\"success\"}", "");
}

static void label_sets(void **state)
{
    struct lists *l = *state;
    check(l, series_decoder_new, "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"job\":\"x\"},{},{\"b\":\"2\",\"a\":\"1\","
          "\"c\":\"\"}]}", "up{job=\"x\"} {} {a=\"1\", b=\"2\"} ");
    const struct label pair = {STR("zone"), STR("west")};
    struct label_view view = view_of_labels(&l->t.arena, labels_from(&l->t.arena, &pair, 1));
    l->list.view = &view;
    check(l, series_decoder_new, "{\"status\":\"success\",\"data\":[{\"a\":\"1\"}]}", "{a=\"1\", zone=\"west\"} ");
    l->list.view = NULL;
}

static void notes(void **state)
{
    struct lists *l = *state;
    const char *text = "{\"status\":\"success\",\"data\":[\"a\"],\"warnings\":[\"results truncated due to limit\",\"w\"],\"infos\":[\"i\"]}";
    l->list.probe = true;
    assert_true(responses_feed(strings_decoder_new(&l->list), str_of(text), 7, &l->t.err));
    assert_int_equal(l->t.notes.warnings.n, 1);
    l->list.probe = false;
    assert_true(responses_feed(strings_decoder_new(&l->list), str_of(text), 7, &l->t.err));
    assert_int_equal(l->t.notes.warnings.n, 2);
    assert_int_equal(l->t.notes.infos.n, 1);
}

static void partial_lists(void **state)
{
    static struct decoder *(*const decoders[])(struct label_list *) = {strings_decoder_new, series_decoder_new,
                                                                       metadata_decoder_new, exemplars_decoder_new};
    struct lists *l = *state;
    const struct query_ctx denies = {.partial = PARTIAL_DENIED};
    for (size_t i = 0; i < LEN(decoders); i++) {
        struct str text = STR("{\"status\":\"success\",\"isPartial\":true,\"data\":null}");
        l->t.notes.partial = false;
        l->list.q = NULL;
        assert_true(responses_feed(decoders[i](&l->list), text, 9, &l->t.err));
        assert_true(l->t.notes.partial);
        l->list.q = &denies;
        assert_false(responses_feed(decoders[i](&l->list), text, 9, &l->t.err));
        assert_int_equal(l->t.err.kind, ERR_UNAVAILABLE);
    }
    assert_int_equal(l->t.notes.warnings.n, 1);
}

static void what_is_no_list(void **state)
{
    struct lists *l = *state;
    refuses(l, strings_decoder_new, "{\"status\":\"error\",\"error\":\"too much\"}", "the server returned an error: too much");
    refuses(l, strings_decoder_new, "{\"data\":[\"a\"]}", "the server returned an error: ");
    refuses(l, strings_decoder_new, "", "the response is not JSON");
    refuses(l, strings_decoder_new, "{\"status\":\"success\",\"data\":[\"a\"", "the response is not JSON");
    refuses(l, strings_decoder_new, "<html>", "the response is not JSON");
    refuses(l, strings_decoder_new, "[\"a\"]", "unexpected JSON");
    refuses(l, strings_decoder_new, "{\"status\":\"success\",\"data\":\"a\"}", "unexpected JSON");
    refuses(l, strings_decoder_new, "{\"status\":\"success\",\"data\":[1]}", "unexpected JSON");
    refuses(l, strings_decoder_new, "{\"status\":\"success\",\"data\":[{\"a\":\"b\"}]}", "unexpected JSON");
    refuses(l, strings_decoder_new, "{\"status\":\"success\",\"data\":[[\"a\"]]}", "unexpected JSON");
    refuses(l, strings_decoder_new, "{\"status\":\"success\",\"warnings\":\"w\"}", "unexpected JSON");
    refuses(l, strings_decoder_new, "{\"status\":1}", "unexpected JSON");
    refuses(l, series_decoder_new, "{\"status\":\"success\",\"data\":[\"a\"]}", "unexpected JSON");
    refuses(l, series_decoder_new, "{\"status\":\"success\",\"data\":[{\"a\":1}]}", "unexpected JSON");
    refuses(l, series_decoder_new, "{\"status\":\"success\",\"data\":[{\"a\":null}]}", "unexpected JSON");
    refuses(l, series_decoder_new, "{\"status\":\"success\",\"data\":[{\"a\":{\"b\":\"c\"}}]}", "unexpected JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(label_sets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(partial_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_list, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
