// UTF-8, strictly: no surrogates, no overlong forms, nothing past U+10FFFF. Fast on long ASCII.
#pragma once

#include <stdbool.h>
#include <stddef.h>

bool pl_utf8_valid(const void *text, size_t len);
// Length of the longest valid prefix.
size_t pl_utf8_prefix(const void *text, size_t len);
