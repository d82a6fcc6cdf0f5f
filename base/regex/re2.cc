// SPDX-License-Identifier: Apache-2.0
// The only C++ file: RE2 has no C interface. Nothing here throws but for want of memory, which ends the process
// (the exception meets C frames without handlers), as mem_alloc does in C.
#include "base/regex/re2.h"

#include <algorithm>
#include <cstring>
#include <re2/re2.h>
#include <string>
#include <vector>

struct re2_pattern {
    RE2 compiled;
    re2_pattern(const re2::StringPiece &pattern, const RE2::Options &options) : compiled(pattern, options) {}
};

static const char *what(RE2::ErrorCode code)
{
    switch (code) {
    case RE2::ErrorBadEscape: return "invalid escape sequence";
    case RE2::ErrorBadCharClass: return "invalid character class";
    case RE2::ErrorBadCharRange: return "invalid character class range";
    case RE2::ErrorMissingBracket: return "missing closing ]";
    case RE2::ErrorMissingParen: return "missing closing )";
    case RE2::ErrorUnexpectedParen: return "unexpected )";
    case RE2::ErrorTrailingBackslash: return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument: return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize: return "invalid repeat count";
    case RE2::ErrorRepeatOp: return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp: return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8: return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture: return "invalid named capture";
    case RE2::ErrorPatternTooLarge: return "expression too large";
    default: return "internal error";
    }
}

struct re2_pattern *re2_new(const char *pattern, size_t n, struct re2_error *error)
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_dot_nl(true);
    re2_pattern *re = new re2_pattern(re2::StringPiece(pattern, n), options);
    if (re->compiled.ok())
        return re;
    const std::string &fragment = re->compiled.error_arg();
    error->what = what(re->compiled.error_code());
    size_t length = std::min(fragment.size(), sizeof error->fragment - 1);
    memcpy(error->fragment, fragment.data(), length);
    error->fragment[length] = 0;
    delete re;
    return nullptr;
}

void re2_free(struct re2_pattern *re) { delete re; }

static bool find(const RE2 &compiled, RE2::Anchor anchor, re2::StringPiece text, size_t from, re2_span *groups,
                 size_t n_groups)
{
    enum { USUAL = 16 };
    re2::StringPiece few[USUAL];
    std::vector<re2::StringPiece> many(n_groups > USUAL ? n_groups : 0);
    re2::StringPiece *pieces = n_groups > USUAL ? many.data() : few;
    if (!compiled.Match(text, from, text.size(), anchor, pieces, static_cast<int>(n_groups)))
        return false;
    for (size_t i = 0; i < n_groups; i++)
        groups[i] = re2_span{pieces[i].data(), pieces[i].size()};
    return true;
}

bool re2_match(const struct re2_pattern *re, const char *text, size_t n)
{
    return re->compiled.Match(re2::StringPiece(text, n), 0, n, RE2::ANCHOR_BOTH, nullptr, 0);
}

bool re2_match_groups(const struct re2_pattern *re, const char *text, size_t n, struct re2_span *groups,
                      size_t n_groups)
{
    return find(re->compiled, RE2::ANCHOR_BOTH, re2::StringPiece(text, n), 0, groups, n_groups);
}

bool re2_find_groups(const struct re2_pattern *re, const char *text, size_t n, size_t from, struct re2_span *groups,
                     size_t n_groups)
{
    return find(re->compiled, RE2::UNANCHORED, re2::StringPiece(text, n), from, groups, n_groups);
}

size_t re2_bytes(const struct re2_pattern *re)
{
    enum { FIXED = 5000, INSTRUCTION = 26 }; /* as measured, with all that stands around an instruction */
    return FIXED + INSTRUCTION * static_cast<size_t>(re->compiled.ProgramSize());
}

size_t re2_groups(const struct re2_pattern *re)
{
    return 1 + static_cast<size_t>(re->compiled.NumberOfCapturingGroups());
}

size_t re2_group_named(const struct re2_pattern *re, const char *name, size_t n)
{
    const auto &names = re->compiled.NamedCapturingGroups();
    auto found = names.find(std::string(name, n));
    return found == names.end() ? 0 : static_cast<size_t>(found->second);
}
