// SPDX-License-Identifier: Apache-2.0
/* The PromQL lexer. Its states are those of Prometheus, so that an invalid text is rejected at the same position with
 * the same message: outside, in braces (no keywords, matcher operators), after '[' (only durations, until the first
 * number was read).
 */
#include "promql/parse/lexer.h"

#include "base/text/utf8.h"
#include "promql/parse/lexer_internal.h"
#include "promql/ast/quote.h"

#include <ctype.h>
#include <stdio.h>

void lexer_init(struct lexer *lx, struct str text) { *lx = (struct lexer){.text = text}; }

/* --- characters --------------------------------------------------------------------------------------------------- */

static struct str rest(const struct lexer *lx) { return str_skip(lx->text, lx->pos); }
static bool is_space(int32_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool lexer_is_digit(int32_t c) { return c >= '0' && c <= '9'; }
static bool is_alpha(int32_t c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static int32_t lexer_peek(const struct lexer *lx, size_t *len)
{
    *len = 0;
    return lx->pos < lx->text.n ? (int32_t)utf8_next(rest(lx), len) : -1;
}

static int32_t peek_rune(const struct lexer *lx)
{
    size_t len;
    return lexer_peek(lx, &len);
}

int32_t lexer_rune(struct lexer *lx)
{
    size_t len;
    int32_t c = lexer_peek(lx, &len);
    lx->pos += len;
    return c;
}

static bool lexer_accept(struct lexer *lx, char c)
{
    bool is = lx->pos < lx->text.n && lx->text.p[lx->pos] == c;
    lx->pos += is;
    return is;
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static struct token token(const struct lexer *lx, enum token_kind kind)
{
    return (struct token){kind, lx->start, str_n(lx->text.p + lx->start, lx->pos - lx->start)};
}

static struct token lexer_fail(struct lexer *lx, const char *text)
{
    snprintf(lx->error, sizeof lx->error, "%s", text);
    return token(lx, TOKEN_ERROR);
}

static struct token fail_rune(struct lexer *lx, const char *before, int32_t c, const char *after)
{
    struct buf quoted = {0};
    quote_rune(&quoted, c);
    snprintf(lx->error, sizeof lx->error, "%s%s%s", before, buf_z(&quoted), after);
    buf_free(&quoted);
    return token(lx, TOKEN_ERROR);
}

/* An unexpected bracket is reported at the position after it, as in Prometheus. */
static struct token fail_behind(struct lexer *lx, const char *before, int32_t c)
{
    lx->start = lx->pos;
    return c ? fail_rune(lx, before, c, "") : lexer_fail(lx, before);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static bool paren_follows(const struct lexer *lx)
{
    size_t i = lx->pos;
    while (i < lx->text.n && is_space(lx->text.p[i]))
        i++;
    return i < lx->text.n && lx->text.p[i] == '(';
}

static struct token lexer_read_word(struct lexer *lx)
{
    for (int32_t c = peek_rune(lx); is_alpha(c) || lexer_is_digit(c) || c == ':'; c = peek_rune(lx))
        lx->pos++;
    struct token t = token(lx, TOKEN_IDENTIFIER);
    if (str_find(t.text, ':') < t.text.n)
        t.kind = TOKEN_METRIC_IDENTIFIER;
    else
        t.kind = lexer_word(t.text);
    /* added to the language later: still valid as names */
    if (t.kind >= TOKEN_FILL && t.kind <= TOKEN_FILL_RIGHT && !paren_follows(lx))
        t.kind = TOKEN_IDENTIFIER;
    return t;
}

static struct token read_identifier(struct lexer *lx)
{
    for (int32_t c = peek_rune(lx); is_alpha(c) || lexer_is_digit(c); c = peek_rune(lx))
        lx->pos++;
    return token(lx, TOKEN_IDENTIFIER);
}

static bool starts_duration_word(int32_t c) { return c > 0 && c < 0x80 && strchr("srm", tolower(c)) != NULL; }

/* step, range, max_of or min_of; otherwise the consumed characters stay consumed. */
static bool read_duration_word(struct lexer *lx, struct token *t)
{
    while (is_alpha(peek_rune(lx)))
        lx->pos++;
    *t = token(lx, TOKEN_IDENTIFIER);
    t->kind = lexer_word(t->text);
    return t->kind >= TOKEN_STEP;
}

static struct token lexer_read_string(struct lexer *lx, int32_t quote)
{
    return token(lx, lexer_scan_string(lx, quote) ? TOKEN_STRING : TOKEN_ERROR);
}

/* --- the three states --------------------------------------------------------------------------------------------- */

static struct token lexer_read_number(struct lexer *lx)
{
    lx->in_duration = false;
    if (lexer_scan_number(lx))
        return token(lx, TOKEN_NUMBER);
    if (lexer_scan_duration(lx))
        return token(lx, TOKEN_DURATION);
    struct token t = token(lx, TOKEN_ERROR);
    snprintf(lx->error, sizeof lx->error, "bad number or duration syntax: \"%.*s\"", STR_ARG(t.text));
    return t;
}

static bool number_starts(const struct lexer *lx, int32_t c)
{
    return lexer_is_digit(c) || (c == '.' && lexer_is_digit(peek_rune(lx)));
}

static struct token close_paren(struct lexer *lx)
{
    return --lx->parens < 0 ? fail_behind(lx, "unexpected right parenthesis ", ')') : token(lx, TOKEN_RIGHT_PAREN);
}

static struct token close_bracket(struct lexer *lx)
{
    lx->in_brackets = lx->in_duration = false;
    return token(lx, TOKEN_RIGHT_BRACKET);
}

static enum token_kind arithmetic(int32_t c) /* TOKEN_ERROR if it is not an operator */
{
    switch (c) {
    case '+': return TOKEN_ADD;
    case '-': return TOKEN_SUB;
    case '*': return TOKEN_MUL;
    case '/': return TOKEN_DIV;
    case '%': return TOKEN_MOD;
    case '^': return TOKEN_POW;
    case ',': return TOKEN_COMMA;
    default: return TOKEN_ERROR;
    }
}

static struct token lexer_read_duration(struct lexer *lx)
{
    int32_t c = lexer_rune(lx);
    struct token t;
    if (arithmetic(c) != TOKEN_ERROR)
        return token(lx, arithmetic(c));
    switch (c) {
    case -1: return lexer_fail(lx, "unexpected end of input in duration expression");
    case ']': return close_bracket(lx);
    case '(': lx->parens++; return token(lx, TOKEN_LEFT_PAREN);
    case ')': return close_paren(lx);
    case ':':
        if (!lx->got_number)
            return fail_behind(lx, "unexpected colon before duration in duration expression", 0);
        if (lx->got_colon)
            return fail_behind(lx, "unexpected repeated colon in duration expression", 0);
        lx->got_colon = true;
        return token(lx, TOKEN_COLON);
    }
    if (number_starts(lx, c)) {
        lx->pos--;
        lx->got_number = true;
        return lexer_read_number(lx);
    }
    if (starts_duration_word(c) && read_duration_word(lx, &t))
        return t;
    return fail_rune(lx, "unexpected character in duration expression: ", c, "");
}

static struct token read_in_braces(struct lexer *lx)
{
    int32_t c = lexer_rune(lx);
    if (is_alpha(c))
        return read_identifier(lx);
    switch (c) {
    case -1: return lexer_fail(lx, "unexpected end of input inside braces");
    case ',': return token(lx, TOKEN_COMMA);
    case '"': case '\'': case '`': return lexer_read_string(lx, c);
    case '=': return token(lx, lexer_accept(lx, '~') ? TOKEN_EQL_REGEX : TOKEN_EQL);
    case '!':
        if (lexer_accept(lx, '~'))
            return token(lx, TOKEN_NEQ_REGEX);
        if (lexer_accept(lx, '='))
            return token(lx, TOKEN_NEQ);
        return fail_rune(lx, "unexpected character after '!' inside braces: ", lexer_rune(lx), "");
    case '{': return fail_rune(lx, "unexpected left brace ", c, "");
    case '}':
        lx->in_braces = false;
        return token(lx, TOKEN_RIGHT_BRACE);
    default: return fail_rune(lx, "unexpected character inside braces: ", c, "");
    }
}

/* Letters and ':' after the number in brackets. */
static struct token read_in_brackets(struct lexer *lx, int32_t c)
{
    struct token t;
    if (c == ':') {
        if (lx->got_colon)
            return fail_rune(lx, "unexpected colon ", c, "");
        lx->got_colon = true;
        return token(lx, TOKEN_COLON);
    }
    if (starts_duration_word(c) && read_duration_word(lx, &t))
        return t;
    return fail_rune(lx, "unexpected character: ", c, ", expected ':'");
}

static struct token read_comparison(struct lexer *lx, int32_t c)
{
    switch (c) {
    case '=':
        if (lexer_accept(lx, '='))
            return token(lx, TOKEN_EQLC);
        if (peek_rune(lx) == '~')
            return fail_rune(lx, "unexpected character after '=': ", '~', "");
        return token(lx, TOKEN_EQL);
    case '!':
        if (lexer_accept(lx, '='))
            return token(lx, TOKEN_NEQ);
        return fail_rune(lx, "unexpected character after '!': ", lexer_rune(lx), "");
    case '<':
        return token(lx, lexer_accept(lx, '=') ? TOKEN_LTE : lexer_accept(lx, '/') ? TOKEN_TRIM_UPPER : TOKEN_LSS);
    default:
        return token(lx, lexer_accept(lx, '=') ? TOKEN_GTE : lexer_accept(lx, '/') ? TOKEN_TRIM_LOWER : TOKEN_GTR);
    }
}

static struct token read_bracket(struct lexer *lx, int32_t c)
{
    switch (c) {
    case '(':
        lx->parens++;
        return token(lx, TOKEN_LEFT_PAREN);
    case ')':
        return close_paren(lx);
    case '{':
        lx->in_braces = true;
        return token(lx, TOKEN_LEFT_BRACE);
    case '[':
        if (lx->in_brackets)
            return fail_rune(lx, "unexpected left bracket ", c, "");
        lx->in_brackets = lx->in_duration = true;
        lx->got_colon = false;
        return token(lx, TOKEN_LEFT_BRACKET);
    default:
        return lx->in_brackets ? close_bracket(lx) : fail_rune(lx, "unexpected right bracket ", c, "");
    }
}

static struct token read_outside(struct lexer *lx)
{
    int32_t c = lexer_rune(lx);
    if (arithmetic(c) != TOKEN_ERROR)
        return token(lx, arithmetic(c));
    if (number_starts(lx, c)) {
        lx->pos--;
        return lexer_read_number(lx);
    }
    if (is_alpha(c) || c == ':')
        return lx->in_brackets ? read_in_brackets(lx, c) : lexer_read_word(lx);
    switch (c) {
    case -1:
        if (lx->parens != 0)
            return lexer_fail(lx, "unclosed left parenthesis");
        return lx->in_brackets ? lexer_fail(lx, "unclosed left bracket") : token(lx, TOKEN_EOF);
    case '=': case '!': case '<': case '>': return read_comparison(lx, c);
    case '"': case '\'': case '`': return lexer_read_string(lx, c);
    case '(': case ')': case '{': case '[': case ']': return read_bracket(lx, c);
    case '@': return token(lx, TOKEN_AT);
    default: return fail_rune(lx, "unexpected character: ", c, "");
    }
}

static void skip_blanks(struct lexer *lx)
{
    while (lx->pos < lx->text.n) {
        char c = lx->text.p[lx->pos];
        if (c == '#' && !lx->in_duration) {
            while (lx->pos < lx->text.n && lx->text.p[lx->pos] != '\n' && lx->text.p[lx->pos] != '\r')
                lx->pos++;
        } else if (is_space(c)) {
            lx->pos++;
        } else {
            return;
        }
    }
}

struct token lexer_next(struct lexer *lx)
{
    skip_blanks(lx);
    lx->start = lx->pos;
    if (lx->in_braces)
        return read_in_braces(lx);
    return lx->in_duration ? lexer_read_duration(lx) : read_outside(lx);
}
